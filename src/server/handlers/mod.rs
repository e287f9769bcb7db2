//! One file per API, grouped by who answers. A handler translates, asks one service, translates back.

pub(crate) mod cluster;
pub(crate) mod configs;
pub(crate) mod data;
pub(crate) mod discovery;
pub(crate) mod groups;
pub(crate) mod producers;
#[cfg(test)]
pub(crate) mod sample;
pub(crate) mod topics;
