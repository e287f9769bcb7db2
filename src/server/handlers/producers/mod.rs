//! APIs of producers that number what they send.

pub(crate) mod init_producer_id;
