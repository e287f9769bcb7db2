//! The folder tree in both worlds: names as seen, and names as the disk would tell them.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use crate::fs::faulty::coin::Coin;
use crate::fs::faulty::disk::InodeId;
use crate::fs::folder_of;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    File(InodeId),
    Folder,
}

/// A name put or taken away, not yet durable. A rename is one change of several names.
type Change = Vec<(PathBuf, Option<Node>)>;

#[derive(Debug)]
pub(super) struct Names {
    seen: BTreeMap<PathBuf, Node>,
    durable: BTreeMap<PathBuf, Node>,
    pending: Vec<Change>,
}

impl Names {
    pub(super) fn new() -> Self {
        let root = BTreeMap::from([(PathBuf::from("/"), Node::Folder)]);
        Self {
            seen: root.clone(),
            durable: root,
            pending: Vec::new(),
        }
    }

    pub(super) fn get(&self, path: &Path) -> Option<Node> {
        self.seen.get(path).copied()
    }

    pub(super) fn files(&self) -> impl Iterator<Item = InodeId> {
        self.seen.values().filter_map(|node| match node {
            Node::File(id) => Some(*id),
            Node::Folder => None,
        })
    }

    pub(super) fn children(&self, folder: &Path) -> Vec<(String, Node)> {
        let inside = self
            .tree(folder)
            .filter(|(path, _)| path.parent() == Some(folder));
        let named =
            inside.filter_map(|(path, node)| Some((path.file_name()?.to_str()?.to_owned(), *node)));
        named.collect()
    }

    fn tree(&self, path: &Path) -> impl DoubleEndedIterator<Item = (&PathBuf, &Node)> {
        tree(&self.seen, path)
    }

    pub(super) fn put(&mut self, path: &Path, node: Option<Node>) {
        self.change(vec![(path.to_owned(), node)]);
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.seen, &change);
        self.pending.push(change);
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let node = self.get(from).ok_or(io::ErrorKind::NotFound)?;
        let mut change: Change = Vec::new();
        if node == Node::Folder {
            // What is still on the disk there, or on its way, moves too: it is not found in the next folder of that name.
            let pending = self.pending.iter().flatten().map(|(path, _)| path);
            let inside = pending.filter(|it| it.starts_with(from));
            let all = inside.chain(tree(&self.durable, from).map(|(path, _)| path));
            change.extend(all.map(|it| (it.clone(), None)));
        }
        for (path, inner) in self.tree(from) {
            change.push((path.clone(), None));
            let Ok(rest) = path.strip_prefix(from) else {
                continue;
            };
            if !rest.as_os_str().is_empty() {
                change.push((to.join(rest), Some(*inner)));
            }
        }
        change.push((to.to_owned(), Some(node)));
        self.change(change);
        Ok(())
    }

    pub(super) fn remove_tree(&mut self, path: &Path) {
        // Name by name: a crash in the middle leaves any part of the tree.
        let inside: Vec<PathBuf> = self
            .tree(path)
            .rev()
            .map(|(path, _)| path.clone())
            .collect();
        for path in inside {
            self.put(&path, None);
        }
    }

    pub(super) fn sync(&mut self, folder: &Path) {
        let concerns = |change: &Change| change.iter().any(|(path, _)| folder_of(path) == folder);
        let pending = std::mem::take(&mut self.pending);
        let mut rest: Vec<Change> = Vec::new();
        for change in pending {
            if !concerns(&change) {
                rest.push(change);
                continue;
            }
            apply(&mut self.durable, &change);
            // What was to become of these names before is overtaken.
            for earlier in &mut rest {
                earlier.retain(|(path, _)| change.iter().all(|(it, _)| it != path));
            }
        }
        self.pending = rest;
    }

    pub(super) fn sync_all(&mut self) {
        self.pending.clear();
        self.durable.clone_from(&self.seen);
    }

    pub(super) fn crash(&mut self, coin: &mut Coin) {
        for change in std::mem::take(&mut self.pending) {
            if coin.keeps() {
                apply(&mut self.durable, &change);
            }
        }
        // A name whose folder was lost cannot be reached.
        let reachable = |path: &Path, all: &BTreeMap<PathBuf, Node>| {
            path.ancestors()
                .skip(1)
                .all(|folder| all.get(folder) == Some(&Node::Folder))
        };
        let all = self.durable.clone();
        self.durable.retain(|path, _| reachable(path, &all));
        self.seen.clone_from(&self.durable);
    }
}

/// A path and all below it: they are neighbours in the order of paths.
fn tree<'a>(
    names: &'a BTreeMap<PathBuf, Node>,
    path: &Path,
) -> impl DoubleEndedIterator<Item = (&'a PathBuf, &'a Node)> {
    let from = (Bound::Included(path), Bound::Unbounded);
    let after = names.range::<Path, _>(from);
    let n = after
        .clone()
        .take_while(|(it, _)| it.starts_with(path))
        .count();
    let last = after.clone().nth(n).map(|(it, _)| it.as_path());
    let to = last.map_or(Bound::Unbounded, Bound::Excluded);
    names.range::<Path, _>((Bound::Included(path), to))
}

fn apply(names: &mut BTreeMap<PathBuf, Node>, change: &Change) {
    for (path, node) in change {
        match node {
            Some(node) => names.insert(path.clone(), *node),
            None => names.remove(path),
        };
    }
}
