//! Finding records and having the kernel send them, beside `sendfile` of the same bytes alone.
//!
//! What the broker does with a slice: look whether it is in memory, and hand it to the kernel in steps. The
//! other end of the socket throws away what comes, so that the sender is what is measured.

use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use bytes::BytesMut;
use drave_log::{LogConfig, PartitionLog};
use drave_protocol::ids::{LeaderEpoch, Offset};
use rustix::fs::sendfile;
use rustix::net::{RecvFlags, recv, sockopt};
use tempfile::TempDir;

use crate::Extent;
use crate::contest::{self, Contender, Length, Turn};
use crate::place;
use crate::sample::{self, KIB, MIB, NOW_MS};

const BATCH_BYTES: usize = 16 * KIB;
const LOG_BYTES: usize = 256 * MIB;
const TURN_BYTES: usize = 16 * MIB;
/// As the broker's `sending.rs`.
const STRAIGHT_STEP: usize = 512 * KIB;

pub(crate) fn run(extent: Extent) {
    let (folder, log) = filled();
    println!("  (congestion control {CONGESTION})");
    for (title, max_bytes) in [
        ("fetches of 64 KiB", 64 * KIB),
        ("fetches of 1 MiB", MIB),
        ("fetches of 8 MiB", 8 * MIB),
    ] {
        let reader = Reader::new(&log, max_bytes);
        let length = Length {
            n_rounds: extent.pick(5, 15),
            n_turns: extent.pick(16, 48),
            bytes_per_turn: reader.n_fetches * reader.fetched,
        };
        let contenders = vec![
            Contender::new("sendfile", || sent(&folder, reader)),
            Contender::new("slice, sendfile", || found_and_sent(&log, reader)),
        ];
        contest::run(title, length, contenders);
    }
}

fn filled() -> (TempDir, PartitionLog) {
    let folder = place::folder();
    let sample = sample::batch(BATCH_BYTES);
    let mut log = sample::open(&folder, LogConfig::default());
    for _ in 0..LOG_BYTES / sample.len() {
        let batch = BytesMut::from(&sample[..]);
        log.append_as_leader(batch, LeaderEpoch(0), NOW_MS).unwrap();
    }
    log.flush().unwrap();
    (folder, log)
}

/// Who reads the log from its start to its end again and again, so much at a time.
#[derive(Clone, Copy)]
struct Reader {
    max_bytes: usize,
    /// What a fetch of whole batches gets.
    fetched: usize,
    records: i64,
    n_fetches: usize,
    /// After so many fetches it starts over.
    n_before_end: usize,
}

impl Reader {
    fn new(log: &PartitionLog, max_bytes: usize) -> Self {
        let end = log.log_end_offset();
        let slice = log.slice(Offset(0), end, max_bytes).unwrap().unwrap();
        let batch = sample::batch(BATCH_BYTES).len();
        let n_batches = slice.len() / batch;
        Self {
            max_bytes,
            fetched: slice.len(),
            records: (n_batches * sample::n_records(BATCH_BYTES)) as i64,
            n_fetches: TURN_BYTES / slice.len(),
            n_before_end: LOG_BYTES / slice.len() - 1,
        }
    }
}

fn sent(folder: &TempDir, reader: Reader) -> Turn<'_> {
    let path = folder.path().join("bench-0/00000000000000000000.log");
    let file = std::fs::File::open(path).unwrap();
    let wire = Wire::new();
    let mut n_done = 0;
    Box::new(move || {
        for _ in 0..reader.n_fetches {
            let mut position = (n_done % reader.n_before_end * reader.fetched) as u64;
            let end = position + reader.fetched as u64;
            while position < end {
                let left = (end - position) as usize;
                sendfile(&wire.sender, &file, Some(&mut position), left).unwrap();
            }
            n_done += 1;
        }
    })
}

fn found_and_sent(log: &PartitionLog, reader: Reader) -> Turn<'_> {
    let wire = Wire::new();
    let mut n_done = 0;
    Box::new(move || {
        for _ in 0..reader.n_fetches {
            let from = Offset((n_done % reader.n_before_end) as i64 * reader.records);
            let found = log.slice(from, log.log_end_offset(), reader.max_bytes);
            let mut slice = found.unwrap().unwrap();
            assert_eq!(slice.len(), reader.fetched);
            while !slice.is_empty() {
                let step = slice.len().min(STRAIGHT_STEP);
                if !slice.is_cached(step).unwrap() {
                    slice.bring_in(step).unwrap();
                }
                let file = slice.as_fd().unwrap();
                let mut position = slice.position();
                let sent = sendfile(&wire.sender, file, Some(&mut position), step).unwrap();
                slice.advance(sent);
            }
            n_done += 1;
        }
    })
}

/// Of the kernels of these days some choose one that a loopback makes slow.
const CONGESTION: &str = "cubic";

/// A connection whose other end throws away what comes.
struct Wire {
    sender: TcpStream,
    sink: Option<JoinHandle<()>>,
}

impl Wire {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        sender.set_nodelay(true).unwrap();
        sockopt::set_tcp_congestion(&sender, CONGESTION).unwrap();
        let (receiver, _) = listener.accept().unwrap();
        let sink = thread::spawn(move || drain(&receiver));
        Self {
            sender,
            sink: Some(sink),
        }
    }
}

fn drain(receiver: &TcpStream) {
    let mut memory = vec![0; MIB];
    // The kernel drops what it would copy.
    while recv(receiver, &mut memory[..], RecvFlags::TRUNC).is_ok_and(|(_, n)| n > 0) {}
}

impl Drop for Wire {
    fn drop(&mut self) {
        let _ = self.sender.shutdown(std::net::Shutdown::Both);
        if let Some(sink) = self.sink.take() {
            let _ = sink.join();
        }
    }
}
