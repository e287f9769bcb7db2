//! What a drave cluster agrees on: openraft, sled and bincode behind one small face.

pub mod image;
pub mod record;
