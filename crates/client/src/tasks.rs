//! Tasks: posted, awaited, listed and changed.

mod change;
mod filter;
mod list;
mod many;
mod new_task;
mod post;
mod task;
mod whole_task;

pub use change::{Change, ChangeAnswer, Changed, Counted};
pub use filter::{Order, TaskFilter};
pub use list::{ListedTask, TaskPage};
pub use new_task::{AgentFilter, NewTask};
pub use post::TaskAnswer;
pub use task::{EndedAttempt, Outcome, Task, Waiting};
pub use whole_task::{TaskAttempt, WholeTask};
