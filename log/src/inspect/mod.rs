//! Reading a log's files as a bystander: what they hold, whether it is right, how much it is.
//!
//! - [`place`] what a path is · [`batches`], [`offset_index`], [`time_index`], [`transactions`],
//!   [`snapshots`], [`epochs`], [`text`] what each kind of file says
//! - [`verify`] what must hold, made of a [`check`] for each kind · [`stat`] numbers
//!
//! Promises: nothing is written, locked or repaired, so a live log may be looked at, and another
//! program's; memory is bounded whatever a file holds; nothing found in a file is believed.

pub mod batches;
pub mod check;
mod entries;
pub mod epochs;
pub mod offset_index;
pub mod place;
pub mod producers;
pub mod records;
pub mod snapshots;
pub mod stat;
pub mod text;
pub mod time_index;
pub mod transactions;
pub mod verify;
mod window;
