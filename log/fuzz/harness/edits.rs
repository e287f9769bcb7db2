//! Changes to the files of a log, as bytes: six for each change.

/// Changes files as `edits` say: which file, what to do, where (two bytes), and a byte or a length
/// (two bytes).
pub(crate) fn apply(files: &mut Vec<(String, Vec<u8>)>, edits: &[u8]) {
    for edit in edits.chunks_exact(6) {
        let &[file, what, at_high, at_low, high, low] = edit else {
            return;
        };
        if files.is_empty() {
            return;
        }
        let which = usize::from(file) % files.len();
        let at = u16::from_be_bytes([at_high, at_low]);
        let n = u16::from_be_bytes([high, low]);
        if what % 8 == 7 {
            files.remove(which);
        } else {
            change(
                &mut files[which].1,
                what % 8,
                usize::from(at),
                usize::from(n),
            );
        }
    }
}

fn change(bytes: &mut Vec<u8>, what: u8, at: usize, n: usize) {
    let at = at % (bytes.len() + 1);
    let end = (at + n).min(bytes.len());
    let byte = n.to_le_bytes()[0];
    match what {
        0 | 1 => {
            if let Some(changed) = bytes.get_mut(at) {
                *changed = byte;
            }
        }
        2 => bytes.truncate(at),
        3 => bytes.resize(bytes.len() + n % 4096, byte),
        4 => bytes[at..end].fill(0),
        5 => bytes.extend_from_within(at..end),
        _ => drop(bytes.drain(at..end)),
    }
}
