//! APIs of producers that number what they send.

pub(crate) mod describe_producers;
pub(crate) mod init_producer_id;
