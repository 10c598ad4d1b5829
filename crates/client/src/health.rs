//! Whether an AFM can do what it is there for.

use crate::client::Client;
use crate::error::ClientError;

impl Client {
    /// Asks whether the AFM is ready: it lives, and its database takes writes.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`] says why it is not; [`ClientError::Unreachable`], that nothing answers.
    pub async fn ready(&self) -> Result<(), ClientError> {
        self.get_ok(&["readyz"]).await
    }
}
