//! APIs that change which topics there are; the active controller decides, wherever it is.

pub(crate) mod create_topics;
pub(crate) mod delete_topics;
