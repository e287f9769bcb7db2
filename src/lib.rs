//! drave
