//! Connections by address, opened when first needed and replaced once closed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::error::ClientError;
use crate::network::connection::Connection;

/// Shared by all who speak under one client id.
#[derive(Debug)]
pub struct Pool {
    client_id: String,
    connect_timeout: Duration,
    by_address: Mutex<BTreeMap<String, Arc<Connection>>>,
}

impl Pool {
    pub fn new(client_id: &str, connect_timeout: Duration) -> Self {
        Self {
            client_id: client_id.to_owned(),
            connect_timeout,
            by_address: Mutex::default(),
        }
    }

    /// An open connection to `address`. Two callers at once may each dial; the later one is kept.
    pub async fn connection(&self, address: &str) -> Result<Arc<Connection>, ClientError> {
        if let Some(open) = self.open(address) {
            return Ok(open);
        }
        let dialled = Connection::connect(address, &self.client_id, self.connect_timeout).await?;
        let dialled = Arc::new(dialled);
        self.lock().insert(address.to_owned(), Arc::clone(&dialled));
        Ok(dialled)
    }

    fn open(&self, address: &str) -> Option<Arc<Connection>> {
        let mut by_address = self.lock();
        by_address.retain(|_, connection| !connection.is_closed());
        by_address.get(address).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Connection>>> {
        // The map is whole between any two of its operations, whoever panicked.
        self.by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
