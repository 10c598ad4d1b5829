//! The locks, counters and wake-ups by which threads that hold requests open meet.
//!
//! They are those of std and tokio. Unit tests replace them: in a scenario that `modelled::every_order` runs,
//! each use of one of them is a point at which any other thread may go on, and all orders are tried.

#[cfg(test)]
pub(super) mod modelled;

#[cfg(not(test))]
pub(super) use self::plain::{AtomicUsize, Mutex, MutexGuard, Notify};

#[cfg(test)]
pub(super) use self::modelled::{AtomicUsize, Mutex, MutexGuard, Notify};

#[cfg(not(test))]
mod plain {
    use std::sync::PoisonError;

    pub(in crate::dispatch) use std::sync::MutexGuard;
    pub(in crate::dispatch) use std::sync::atomic::AtomicUsize;

    pub(in crate::dispatch) use tokio::sync::Notify;

    /// A lock that stays usable after a panic of the thread that held it.
    #[derive(Debug, Default)]
    pub(in crate::dispatch) struct Mutex<T>(std::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(in crate::dispatch) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }
}
