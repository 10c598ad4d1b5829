//! Reads that are asked for while another one is under way, and are then made together.
//!
//! So many requests cost one call of the database, and the other connections stay free.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::Hash;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::future::{BoxFuture, Either, select};
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use crate::error::StoreError;

/// How many small tasks are read at once.
pub(crate) const SMALL_AT_ONCE: usize = 64;

/// What a read of several keys has found, by key.
pub type ReadResult<K, V> = Result<HashMap<K, V>, StoreError>;

type Answer<V> = Result<Option<V>, StoreError>;

/// Makes reads together that are asked for at the same time.
pub struct Reads<K, V> {
    /// How many different keys are read at once.
    most: usize,
    asked: Mutex<Vec<(K, oneshot::Sender<Answer<V>>)>>,
    /// Held by the caller who reads for all that have asked by then.
    turn: tokio::sync::Mutex<()>,
}

impl<K: Copy + Eq + Hash, V: Clone> Reads<K, V> {
    /// At most `most` different keys are read at once; the same one is read once for all who ask for it.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most, asked: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// Reads what `key` names, by a call of `read` that begins after this call did, and may be made for other
    /// keys as well; `None` if there is nothing of that key.
    ///
    /// # Errors
    /// Those of `read`.
    pub async fn get<'r>(
        &self,
        key: K,
        read: impl Fn(Vec<K>) -> BoxFuture<'r, ReadResult<K, V>>,
    ) -> Answer<V> {
        if let Ok(_turn) = self.turn.try_lock()
            && self.asked().is_empty()
        {
            return Ok(read(vec![key]).await?.remove(&key));
        }
        loop {
            let (asked, mut answer) = oneshot::channel();
            self.asked().push((key, asked));
            let turn = match select(&mut answer, pin!(self.turn.lock())).await {
                Either::Left((Ok(answer), _)) => return answer,
                // The caller that read for this one went away.
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

    /// Reads for the callers that have waited longest.
    async fn read<'r>(&self, read: &impl Fn(Vec<K>) -> BoxFuture<'r, ReadResult<K, V>>) {
        let mut keys: HashSet<K> = HashSet::new();
        let asked: Vec<_> = {
            let mut asked = self.asked();
            asked.retain(|(_, answer)| !answer.is_closed());
            let (now, later) = std::mem::take(&mut *asked).into_iter().partition(|(key, _)| {
                let is_read = keys.contains(key) || keys.len() < self.most;
                if is_read {
                    keys.insert(*key);
                }
                is_read
            });
            *asked = later;
            now
        };
        let found = read(keys.into_iter().collect()).await;
        for (key, answer) in asked {
            let value = match &found {
                Ok(found) => Ok(found.get(&key).cloned()),
                Err(error) => Err(error.again()),
            };
            // Who asked may have gone.
            let _ = answer.send(value);
        }
    }

    fn asked(&self) -> MutexGuard<'_, Vec<(K, oneshot::Sender<Answer<V>>)>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, V> fmt::Debug for Reads<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reads").field("most", &self.most).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::poll_fn;
    use std::task::Poll;

    use futures_util::FutureExt;
    use futures_util::future::join_all;

    use super::*;

    /// Reads numbers together; says what was read at once, in which order.
    async fn read_all(reads: &Reads<u32, u32>, asked: &[u32]) -> Vec<Vec<u32>> {
        let read_at_once: RefCell<Vec<Vec<u32>>> = RefCell::default();
        let read = |keys: Vec<u32>| {
            let mut sorted = keys.clone();
            sorted.sort_unstable();
            read_at_once.borrow_mut().push(sorted);
            let mut is_first = true;
            async move {
                // The others ask meanwhile.
                poll_fn(|cx| {
                    cx.waker().wake_by_ref();
                    if std::mem::take(&mut is_first) { Poll::Pending } else { Poll::Ready(()) }
                })
                .await;
                Ok(keys.into_iter().map(|key| (key, 10 * key)).collect())
            }
            .boxed()
        };
        let answers = join_all(asked.iter().map(|key| reads.get(*key, read))).await;
        for (key, answer) in asked.iter().zip(answers) {
            assert_eq!(answer.unwrap(), Some(10 * key));
        }
        read_at_once.into_inner()
    }

    #[tokio::test]
    async fn what_is_asked_for_meanwhile_is_read_together_and_the_same_once() {
        let reads = Reads::new(3);
        assert_eq!(read_all(&reads, &[1, 1, 2, 2]).await, [vec![1], vec![1, 2]]);
        assert_eq!(read_all(&reads, &[9, 4, 5, 6, 7, 4, 8]).await, [vec![9], vec![4, 5, 6], vec![7, 8]]);
        let one_by_one = Reads::new(1);
        assert_eq!(read_all(&one_by_one, &[9, 4, 5, 4]).await, [vec![9], vec![4], vec![5]]);
    }
}
