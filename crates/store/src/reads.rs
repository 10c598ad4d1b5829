//! Reads of tasks. Those that are asked for while another is under way are read together, over one connection: it is
//! one transaction for many, and the other connections stay free.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::{BoxFuture, Either, select};
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;
use uuid::Uuid;

use crate::{StoreError, Task};

/// How many tasks are read at once: each may be large.
const MOST: usize = 64;

/// Tasks by their ids.
pub(crate) type Found = Result<HashMap<Uuid, Task>, StoreError>;

type Answer = Result<Option<Task>, StoreError>;

/// Who waits for a task to be read.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    asked: Mutex<Vec<(Uuid, oneshot::Sender<Answer>)>>,
    /// Held by the one who reads, for all that have asked by then.
    turn: tokio::sync::Mutex<()>,
}

impl Reads {
    /// Reads a task with `read`, alone or together with others.
    pub(crate) async fn task<'r>(
        &self,
        id: Uuid,
        read: impl Fn(Arc<[Uuid]>) -> BoxFuture<'r, Found>,
    ) -> Answer {
        loop {
            let (asked, mut answer) = oneshot::channel();
            self.asked().push((id, asked));
            let turn = match select(&mut answer, pin!(self.turn.lock())).await {
                Either::Left((Ok(answer), _)) => return answer,
                // Who read for this one went away.
                Either::Left((Err(_), _)) => continue,
                Either::Right((turn, _)) => turn,
            };
            loop {
                match answer.try_recv() {
                    Ok(answer) => return answer,
                    Err(TryRecvError::Empty) => self.read(&read).await,
                    Err(TryRecvError::Closed) => break,
                }
            }
            drop(turn);
        }
    }

    /// Reads for those that have waited longest.
    async fn read<'r>(&self, read: &impl Fn(Arc<[Uuid]>) -> BoxFuture<'r, Found>) {
        let asked: Vec<_> = {
            let mut asked = self.asked();
            asked.retain(|(_, answer)| !answer.is_closed());
            let most = asked.len().min(MOST);
            asked.drain(..most).collect()
        };
        let found = read(asked.iter().map(|(id, _)| *id).collect()).await;
        for (id, answer) in asked {
            let task = match &found {
                Ok(found) => Ok(found.get(&id).cloned()),
                Err(error) => Err(error.again()),
            };
            // Who asked may have gone.
            let _ = answer.send(task);
        }
    }

    fn asked(&self) -> MutexGuard<'_, Vec<(Uuid, oneshot::Sender<Answer>)>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
