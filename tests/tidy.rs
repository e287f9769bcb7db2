//! House rules as a test: arrows point down, no dead files, no banned words, documents in step.
//!
//! It reads text, not syntax, so it is crude and quick. When a rule annoys, promote the annoyed module
//! to a crate or change ARCHITECTURE.md and `FLOORS` in the same commit.

#![allow(clippy::disallowed_methods, reason = "reads its own source")]
#![allow(clippy::unwrap_used, reason = "a test, helpers included")]

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use drave::config;
use drave::telemetry;

/// Floors, ground first; a module may use only modules of the rows before its own.
const FLOORS: &[&[&str]] = &[
    &["clock", "config", "oracle", "random", "tasks", "telemetry"],
    &["cluster"],
    &["controller", "replica"],
    &["coordinator"],
    &["http", "server"],
    &["node"],
    &["cli"],
];

/// Which of our packages a package may depend on, and what it must be free of.
const PACKAGES: &[(&str, &[&str], &[&str])] = &[
    ("protocol", &[], &["tokio", "openraft", "sled", "axum"]),
    (
        "log",
        &["drave-protocol"],
        &["tokio", "openraft", "sled", "axum"],
    ),
    ("raft", &["drave-protocol"], &["axum"]),
    ("client", &["drave-protocol"], &["openraft", "sled", "axum"]),
];

/// What never appears in a line of code, and what to do instead.
const BANNED: &[(&str, &str)] = &[
    (
        "use crate::{",
        "one `use` per module, so that unwanted friends show",
    ),
    ("super::super", "name the module from `crate::`"),
    ("FIXME", "fix it, or TODO(#number)"),
    ("XXX", "say why in a sentence"),
    ("todo!(", "write it, or return a refusal"),
    ("unimplemented!(", "write it, or return a refusal"),
];

/// Words that end no type's name: they say that an idea is missing.
const VAGUE: &[&str] = &["Manager", "Helper", "Helpers", "Util", "Utils"];

/// Names no file has: a thing with no home shows a missing idea.
const HOMELESS: &[&str] = &[
    "common", "helper", "helpers", "manager", "misc", "util", "utils",
];

const FILE_LINES_MAX: usize = 600;

struct SourceFile {
    /// From the root of the repository, with `/`.
    name: String,
    text: String,
}

impl SourceFile {
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line))
    }

    /// The module of the node this file belongs to.
    fn module(&self) -> Option<&str> {
        let inside = self.name.strip_prefix("src/")?;
        let first = inside.split('/').next()?;
        let module = first.strip_suffix(".rs").unwrap_or(first);
        (!matches!(module, "lib" | "main")).then_some(module)
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files() -> Vec<SourceFile> {
    let mut files = Vec::new();
    for folder in ["src", "tests", "protocol", "log", "raft", "client"] {
        gather(&root().join(folder), &mut files);
    }
    assert!(files.len() > 20, "the sources are where this test looks");
    files
}

fn gather(folder: &Path, files: &mut Vec<SourceFile>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() && !path.ends_with("target") {
            gather(&path, files);
        } else if path.extension().is_some_and(|it| it == "rs") {
            let name = path
                .strip_prefix(root())
                .unwrap()
                .to_string_lossy()
                .into_owned();
            files.push(SourceFile {
                name,
                text: fs::read_to_string(&path).unwrap(),
            });
        }
    }
}

fn assert_no_faults(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|row| row.contains(&module))
}

#[test]
fn arrows_between_modules_point_down() {
    let mut faults = Vec::new();
    for file in rust_files() {
        let Some(here) = file.module() else { continue };
        let Some(my_floor) = floor(here) else {
            faults.push(format!(
                "{}: {here} has no floor; give it one here and in ARCHITECTURE.md",
                file.name
            ));
            continue;
        };
        for (line, text) in file.lines() {
            for used in text.split("crate::").skip(1) {
                let there: String = used
                    .chars()
                    .take_while(|it| it.is_ascii_lowercase() || *it == '_')
                    .collect();
                if there != here && floor(&there).is_some_and(|it| my_floor <= it) {
                    faults.push(format!("{}:{line}: {here} must not use {there}", file.name));
                }
            }
        }
    }
    assert_no_faults(&faults);
}

#[test]
fn packages_depend_only_on_what_they_may_know() {
    let mut faults = Vec::new();
    for (package, allowed, free_of) in PACKAGES {
        let manifest = fs::read_to_string(root().join(package).join("Cargo.toml")).unwrap();
        if !manifest.contains("[lints]\nworkspace = true") {
            faults.push(format!("{package}: must take the workspace's lints"));
        }
        let normal = manifest.split("[dependencies]").nth(1).unwrap_or_default();
        let normal = normal.split("\n[").next().unwrap_or_default();
        for line in normal.lines() {
            let name: String = line
                .chars()
                .take_while(|it| it.is_ascii_alphanumeric() || *it == '-')
                .collect();
            let is_stranger = name.starts_with("drave-") && !allowed.contains(&name.as_str());
            if is_stranger || free_of.contains(&name.as_str()) {
                faults.push(format!("{package}: must not depend on {name}"));
            }
        }
    }
    assert_no_faults(&faults);
}

#[test]
fn banned_words_do_not_appear() {
    let mut faults = Vec::new();
    for file in rust_files().iter().filter(|it| it.name != "tests/tidy.rs") {
        for (line, text) in file.lines() {
            for (banned, instead) in BANNED.iter().filter(|(banned, _)| text.contains(banned)) {
                faults.push(format!("{}:{line}: {banned}: {instead}", file.name));
            }
            let is_test = file.name.contains("tests/") || file.name.ends_with("_test.rs");
            // A comment above says why this time is no wait for something.
            let is_explained = line > 1 && before(&file.text, line).starts_with("//");
            if is_test && text.contains("thread::sleep") && !is_explained {
                faults.push(format!(
                    "{}:{line}: wait on the condition, not on time",
                    file.name
                ));
            }
            if text.contains("TODO") && !text.contains("TODO(#") {
                faults.push(format!(
                    "{}:{line}: a TODO carries a number, TODO(#12)",
                    file.name
                ));
            }
            if let Some(name) = declared_type(text)
                && VAGUE.iter().any(|vague| name.ends_with(vague))
            {
                faults.push(format!(
                    "{}:{line}: {name} does not say what it does",
                    file.name
                ));
            }
        }
    }
    assert_no_faults(&faults);
}

fn before(text: &str, line: usize) -> &str {
    text.lines().nth(line - 2).unwrap_or_default().trim_start()
}

fn declared_type(line: &str) -> Option<&str> {
    let code = line.trim_start();
    let code = code
        .strip_prefix("pub(crate) ")
        .or(code.strip_prefix("pub "))
        .unwrap_or(code);
    let rest = ["struct ", "enum ", "trait ", "type "]
        .iter()
        .find_map(|it| code.strip_prefix(it))?;
    rest.split(|it: char| !it.is_alphanumeric() && it != '_')
        .next()
}

#[test]
fn every_file_opens_with_its_meaning_and_has_a_name_that_says_something() {
    let mut faults = Vec::new();
    for file in rust_files() {
        // A test beside the code, or a chapter of one, is introduced by the file that includes it.
        let is_introduced = file.name.ends_with("_test.rs") || file.name.contains("tests/");
        if !is_introduced && !file.text.starts_with("//!") {
            faults.push(format!("{}: opens with //! and what it means", file.name));
        }
        let stem = Path::new(&file.name).file_stem().unwrap().to_string_lossy();
        let folder = Path::new(&file.name)
            .parent()
            .and_then(Path::file_name)
            .unwrap_or_default();
        if HOMELESS
            .iter()
            .any(|it| *it == stem || *it == folder.to_string_lossy())
        {
            faults.push(format!("{}: a name that says nothing", file.name));
        }
    }
    assert_no_faults(&faults);
}

#[test]
fn no_file_is_dead() {
    let files = rust_files();
    let mut faults = Vec::new();
    for file in files.iter().filter(|it| it.name.contains("src/")) {
        let path = Path::new(&file.name);
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        let folder = path.parent().unwrap();
        if matches!(stem.as_str(), "lib" | "main" | "build") || folder.ends_with("bin") {
            continue;
        }
        let (module, home) = if stem == "mod" {
            (
                folder.file_name().unwrap().to_string_lossy().into_owned(),
                folder.parent().unwrap(),
            )
        } else {
            (stem, folder)
        };
        let declaration = format!("mod {module};");
        let by_path = format!(
            "#[path = \"{}\"]",
            path.file_name().unwrap().to_string_lossy()
        );
        let is_alive = files.iter().any(|other| {
            Path::new(&other.name).parent() == Some(home)
                && (other.text.contains(&declaration) || other.text.contains(&by_path))
        });
        if !is_alive {
            faults.push(format!("{}: no `{declaration}` beside it", file.name));
        }
    }
    assert_no_faults(&faults);
}

#[test]
fn files_stay_short_enough_to_hold_one_idea() {
    let long = rust_files().into_iter().filter_map(|file| {
        let n_lines = file.text.lines().count();
        (n_lines > FILE_LINES_MAX).then(|| {
            format!(
                "{}: {n_lines} lines; which second idea moved in?",
                file.name
            )
        })
    });
    assert_no_faults(&long.collect::<Vec<_>>());
}

#[test]
fn log_lines_speak_the_vocabulary() {
    let mut faults = Vec::new();
    for file in rust_files().iter().filter(|it| it.name.contains("src/")) {
        for field in logged_fields(&file.text) {
            let is_known = telemetry::fields::FIELDS.iter().any(|(it, _)| *it == field);
            if !is_known && !field.starts_with("n_") {
                faults.push(format!(
                    "{}: {field} is not in telemetry/fields.rs; is there a word for it?",
                    file.name
                ));
            }
        }
    }
    assert_no_faults(&faults);
}

/// The fields given before the message of each log line.
fn logged_fields(text: &str) -> Vec<&str> {
    let mut fields = Vec::new();
    for level in ["error!(", "warn!(", "info!(", "debug!(", "trace!("] {
        for (at, _) in text.match_indices(level) {
            let follows_a_word = text[..at].ends_with(|it: char| it.is_alphanumeric() || it == '_');
            let arguments = &text[at + level.len()..];
            // The message is the one argument that begins with a quote.
            let mut rest = arguments.trim_start();
            while !follows_a_word && !rest.starts_with(['"', ')']) {
                let Some((field, after)) = rest.split_once([',', ')']) else {
                    break;
                };
                let name = field.split('=').next().unwrap_or_default();
                let name = name.trim().trim_start_matches(['%', '?']);
                let is_name = name.chars().all(|it| it.is_ascii_lowercase() || it == '_');
                if is_name && !name.is_empty() {
                    fields.push(name);
                }
                rest = after.trim_start();
            }
        }
    }
    fields
}

#[test]
fn a_metric_that_is_declared_is_set_somewhere() {
    let table = fs::read_to_string(root().join("src/telemetry/metrics.rs")).unwrap();
    let files = rust_files();
    let mut outside = files
        .iter()
        .filter(|it| it.name.starts_with("src/") && !it.name.starts_with("src/telemetry/"));
    let rows = table
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix('"')?.split_once("\" => "));
    let fields = rows.filter_map(|(_, rest)| rest.split(':').next());
    let unset = fields.filter(|field| {
        let set = format!(".{field}");
        !outside.clone().any(|file| reads_field(&file.text, &set))
    });
    let faults: Vec<String> = unset.map(|it| format!("{it}: counted nowhere")).collect();
    assert!(outside.next().is_some());
    assert_no_faults(&faults);
}

/// A ratchet to look at, not a limit: some functions want to be long.
#[test]
fn the_ten_longest_functions_are_reported() {
    let mut functions = Vec::new();
    for file in rust_files() {
        let lines: Vec<&str> = file.text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let Some(name) = declared_function(line) else {
                continue;
            };
            let indent = line.len() - line.trim_start().len();
            let end = format!("{}}}", " ".repeat(indent));
            if let Some(length) = lines.iter().skip(at).position(|it| *it == end) {
                functions.push((length + 1, format!("{}:{} {name}", file.name, at + 1)));
            }
        }
    }
    functions.sort_by(|a, b| b.cmp(a));
    println!("the ten longest functions:");
    for (n_lines, place) in functions.iter().take(10) {
        println!("{n_lines:5}  {place}");
    }
}

fn declared_function(line: &str) -> Option<&str> {
    let (before, rest) = line.split_once("fn ")?;
    let is_head = before
        .split_whitespace()
        .all(|it| matches!(it, "pub" | "async" | "const" | "pub(crate)" | "pub(super)"));
    is_head.then(|| rest.split(['(', '<']).next())?
}

#[test]
fn generated_documents_are_in_step() {
    let pages = [
        ("docs/apis.md", apis()),
        ("docs/configs.md", config::describe::manual()),
        ("docs/metrics.md", telemetry::metrics::manual()),
    ];
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut faults = Vec::new();
    for (name, page) in pages {
        let path = root().join(name);
        if update {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &page).unwrap();
        } else if fs::read_to_string(&path).ok().as_ref() != Some(&page) {
            faults.push(format!("{name} is stale: run `make docs`"));
        }
    }
    assert_no_faults(&faults);
}

/// Failures each told by one story, by their numbers in docs/faults.md.
const TOLD: [std::ops::RangeInclusive<u32>; 2] = [1..=9, 16..=24];

#[test]
fn every_famous_failure_has_its_story_and_every_story_its_failure() {
    let page = fs::read_to_string(root().join("docs/faults.md")).unwrap();
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|it| it.starts_with("| F"))
        .map(|it| it.split('|').map(str::trim).collect())
        .collect();
    let mut faults = Vec::new();
    for number in TOLD.into_iter().flatten() {
        let name = format!("F{number}");
        if !rows.iter().any(|it| it[1] == name) {
            faults.push(format!("docs/faults.md: nobody tells {name}"));
        }
    }
    let files = rust_files();
    for row in &rows {
        let (story, place) = (row[3].trim_matches('`'), row[4].trim_matches('`'));
        let file = files.iter().find(|it| it.name == place);
        if !file.is_some_and(|it| it.text.contains(&format!("#[test]\nfn {story}()"))) {
            faults.push(format!("docs/faults.md: {place} has no story {story}"));
        }
    }
    let stories = files
        .iter()
        .filter(|it| it.name.starts_with("tests/faults/"));
    for (name, story) in stories.flat_map(|it| stories_of(&it.text).map(|story| (&it.name, story)))
    {
        if !rows.iter().any(|it| it[3].trim_matches('`') == story) {
            faults.push(format!("{name}: {story} is in no row of docs/faults.md"));
        }
    }
    assert_no_faults(&faults);
}

fn stories_of(text: &str) -> impl Iterator<Item = &str> {
    let after = text.split("#[test]\nfn ").skip(1);
    after.filter_map(|it| it.split('(').next())
}

fn apis() -> String {
    let mut page = String::from(
        "# APIs\n\n<!-- Generated from protocol/src/api.rs by `make docs`; do not edit. -->\n\n\
         What a broker advertises, and serves. Nothing else is advertised.\n\n\
         | key | name | versions | flexible from | largest request |\n|---|---|---|---|---|\n",
    );
    for api in drave_protocol::api::APIS {
        let (first, last) = api.versions;
        let (key, name, flexible) = (api.key.number(), api.name, api.flexible_from);
        let size = api.frame_bytes_max;
        let _ = writeln!(
            page,
            "| {key} | {name} | {first}–{last} | {flexible} | {size} bytes |"
        );
    }
    page
}

#[test]
fn the_architecture_names_every_module_and_package() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let modules = FLOORS.concat().into_iter().map(|it| format!("`{it}`"));
    let packages = PACKAGES.iter().map(|(it, _, _)| format!("`{it}/`"));
    let missing = modules.chain(packages).filter(|it| !page.contains(it));
    let mut faults = String::new();
    for name in missing {
        let _ = writeln!(faults, "ARCHITECTURE.md does not speak of {name}");
    }
    assert!(faults.is_empty(), "\n{faults}");
}

#[test]
fn a_config_key_that_claims_an_effect_is_read_somewhere() {
    let files = rust_files();
    let outside: Vec<&SourceFile> = files
        .iter()
        .filter(|it| it.name.starts_with("src/") && !it.name.starts_with("src/config/"))
        .collect();
    // Read by `resolve` on behalf of the fields it derives.
    let resolved = [
        "listeners",
        "listener_security_protocol_map",
        "controller_listener_names",
        "http_listeners",
        "controller_quorum_voters_text",
        "metadata_log_dir_text",
        // Bounds of what others may say, checked with those.
        "group_consumer_min_heartbeat_interval",
        "group_consumer_max_heartbeat_interval",
        "group_consumer_min_session_timeout",
        "group_consumer_max_session_timeout",
    ];
    // A topic or a group inherits these, and it is theirs that is read.
    let inherited: Vec<&str> = config::TopicConfig::KEYS
        .iter()
        .chain(config::GroupConfig::KEYS)
        .flat_map(|key| key.synonyms.iter().map(|it| it.name))
        .collect();
    let mut faults = Vec::new();
    for (keys, fields) in [
        (
            config::BrokerConfig::KEYS,
            config::BrokerConfig::EFFECTIVE_FIELDS,
        ),
        (
            config::TopicConfig::KEYS,
            config::TopicConfig::EFFECTIVE_FIELDS,
        ),
        (
            config::GroupConfig::KEYS,
            config::GroupConfig::EFFECTIVE_FIELDS,
        ),
    ] {
        for (key, (field, claims_effect)) in keys.iter().zip(fields) {
            use config::define::Scope;
            let is_brokers = !matches!(key.scope, Scope::Topic | Scope::Group);
            if resolved.contains(field) || (is_brokers && inherited.contains(&key.name)) {
                continue;
            }
            let read = format!(".{field}");
            let is_read = outside.iter().any(|file| reads_field(&file.text, &read));
            if *claims_effect && !is_read {
                faults.push(format!(
                    "{field}: read nowhere; mark its key dormant, or use it"
                ));
            } else if !*claims_effect && is_read {
                faults.push(format!("{field}: used, so its key is not dormant"));
            }
        }
    }
    assert_no_faults(&faults);
}

fn reads_field(text: &str, read: &str) -> bool {
    text.match_indices(read).any(|(at, _)| {
        let next = text[at + read.len()..].chars().next();
        !next.is_some_and(|it| it.is_alphanumeric() || it == '_')
    })
}
