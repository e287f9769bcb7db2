//! Every hard limit of the wire, together.
//!
//! A limit here bounds what one stranger can make us hold; what an operator may tune is a config,
//! and can only be lower.

const MIB: usize = 1024 * 1024;

/// Largest request of any kind: Kafka's `socket.request.max.bytes`.
pub const REQUEST_BYTES_MAX: usize = 100 * MIB;

/// Frame cap of a request that carries records.
pub const RECORDS_REQUEST_BYTES_MAX: usize = REQUEST_BYTES_MAX;
/// Frame cap of a request that names many partitions, topics or configs.
pub const BULK_REQUEST_BYTES_MAX: usize = 8 * MIB;
/// Frame cap of a request that names a few things; also of a request whose key we do not know.
pub const SMALL_REQUEST_BYTES_MAX: usize = MIB;

/// Largest response a client of ours accepts: a fetch may carry one record batch of any size.
pub const RESPONSE_BYTES_MAX: usize = 256 * MIB;

/// Memory a frame buffer asks for at a time: it grows with what arrived, not with what was promised.
pub const FRAME_STEP_BYTES_MIN: usize = 4 * 1024;
pub const FRAME_STEP_BYTES_MAX: usize = MIB;

/// Longest string, in either encoding (Kafka's own bound).
pub const STRING_BYTES_MAX: usize = 0x7fff;

/// Elements an array reserves room for before the first one was decoded.
pub const ARRAY_RESERVE_MAX: usize = 1024;

/// Memory all array elements of one message may take together, beyond the frame itself. An element
/// of three wire bytes can be a hundred in memory; without this a 100 MiB frame would be gigabytes.
pub const DECODED_BYTES_MAX: usize = 64 * MIB;

/// Bytes the records of one batch may unpack to: what could have been sent unpacked. Twelve
/// kilobytes of zstd can be 400 megabytes.
pub const UNPACKED_BATCH_BYTES_MAX: usize = REQUEST_BYTES_MAX;
