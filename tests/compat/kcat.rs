//! kcat in all its modes: producing, consuming, listing metadata, asking for offsets, and as a group.

use serde_json::Value;

use crate::compat::scenarios::{N_RECORDS, READ_FROM_MS, READ_PARTITIONS, READ_TOPIC, key, value};
use crate::support::cluster::Cluster;
use crate::support::command::of_this_machine;
use crate::support::kcat;

pub(crate) fn version() -> String {
    let output = of_this_machine("kcat").arg("-V").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let words: Vec<&str> = said.split_whitespace().collect();
    let after = |word: &str| {
        let at = words.iter().position(|it| *it == word);
        at.and_then(|at| words.get(at + 1)).copied()
    };
    let librdkafka = after("librdkafka").unwrap_or("?");
    format!(
        "{} (librdkafka {librdkafka})",
        after("Version").unwrap_or("?")
    )
}

pub(crate) fn try_out(scenario: &str, cluster: &mut Cluster) -> Result<i64, String> {
    let bootstrap = cluster.bootstrap();
    match scenario {
        "acks-0" => produce(&bootstrap, scenario, &["-X", "acks=0"])?,
        "acks-1" => produce(&bootstrap, scenario, &["-X", "acks=1"])?,
        "acks-all" => produce(&bootstrap, scenario, &["-X", "acks=all"])?,
        "idempotent" => produce(&bootstrap, scenario, &["-X", "enable.idempotence=true"])?,
        "gzip" | "snappy" | "lz4" | "zstd" => produce(&bootstrap, scenario, &["-z", scenario])?,
        "nulls" => nulls(&bootstrap)?,
        "assign" => read_all(&bootstrap, &[])?,
        "isolation" => read_all(&bootstrap, &["-X", "isolation.level=read_committed"])?,
        "seek" => seek(&bootstrap)?,
        "timestamps" => timestamps(&bootstrap)?,
        "cluster" => list(&bootstrap)?,
        "group-resume" => group(&bootstrap)?,
        other => return Err(format!("kcat knows no {other}")),
    }
    Ok(0)
}

fn run(bootstrap: &str, arguments: &[&str], input: &str) -> Result<String, String> {
    let output = kcat::run(bootstrap, arguments, input);
    if output.is_success {
        Ok(output.stdout)
    } else {
        Err(format!("kcat {arguments:?}: {}", output.stderr))
    }
}

fn produce(bootstrap: &str, topic: &str, settings: &[&str]) -> Result<(), String> {
    let lines = (0..N_RECORDS).map(|n| format!("{}:{}\n", key(n), value(n)));
    let input: String = lines.collect();
    let fixed = [
        "-P",
        "-t",
        topic,
        "-p",
        "0",
        "-K",
        ":",
        "-X",
        "linger.ms=20",
    ];
    run(bootstrap, &[&fixed[..], settings].concat(), &input).map(|_| ())
}

fn nulls(bootstrap: &str) -> Result<(), String> {
    let to = ["-P", "-t", "nulls", "-p", "0"];
    let headers = ["-K", ":", "-H", "a=1", "-H", "a=2", "-H", "empty="];
    run(bootstrap, &[&to[..], &headers].concat(), "k:v\n")?;
    run(bootstrap, &to, "v\n")?;
    run(bootstrap, &[&to[..], &["-K", ":", "-Z"]].concat(), "k:\n").map(|_| ())
}

fn read_json(bootstrap: &str, arguments: &[&str]) -> Result<Vec<Value>, String> {
    let fixed = ["-C", "-t", READ_TOPIC, "-J", "-e", "-q"];
    let text = run(bootstrap, &[&fixed[..], arguments].concat(), "")?;
    let lines = text.lines().map(serde_json::from_str);
    lines
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())
}

fn read_all(bootstrap: &str, settings: &[&str]) -> Result<(), String> {
    for partition in 0..READ_PARTITIONS {
        let partition = partition.to_string();
        let arguments = ["-p", &partition, "-o", "beginning"];
        let found = read_json(bootstrap, &[&arguments[..], settings].concat())?;
        let wanted = (0..N_RECORDS).map(|n| (n, key(n), value(n)));
        let found = found.iter().map(|it| {
            let text = |name: &str| it[name].as_str().unwrap_or_default().to_owned();
            (
                it["offset"].as_i64().unwrap_or(-1),
                text("key"),
                text("payload"),
            )
        });
        if !found.eq(wanted) {
            return Err(format!("partition {partition} holds something else"));
        }
    }
    Ok(())
}

fn seek(bootstrap: &str) -> Result<(), String> {
    let at = format!("s@{}", READ_FROM_MS + 70_000);
    for (offset, wanted) in [("90", 90), ("-10", 90), ("10", 10), (&*at, 70)] {
        let found = read_json(bootstrap, &["-p", "1", "-o", offset])?;
        let first = found.first().and_then(|it| it["offset"].as_i64());
        if first != Some(wanted) {
            return Err(format!("-o {offset} begins at {first:?}"));
        }
    }
    Ok(())
}

fn timestamps(bootstrap: &str) -> Result<(), String> {
    let time = READ_FROM_MS + 40_000;
    for (at, wanted) in [(time, 40), (-1, N_RECORDS), (-2, 0)] {
        let asked = format!("{READ_TOPIC}:0:{at}");
        let said = run(bootstrap, &["-Q", "-t", &asked], "")?;
        if !said.contains(&format!("offset {wanted}")) {
            return Err(format!("{asked}: {said}"));
        }
    }
    Ok(())
}

fn list(bootstrap: &str) -> Result<(), String> {
    let said = run(bootstrap, &["-L", "-J"], "")?;
    let listed: Value = serde_json::from_str(&said).map_err(|error| error.to_string())?;
    match listed["brokers"].as_array().map(Vec::len) {
        Some(3) => Ok(()),
        other => Err(format!("{other:?} brokers")),
    }
}

fn group(bootstrap: &str) -> Result<(), String> {
    let from_start = ["-X", "auto.offset.reset=earliest", "-e", "-q", READ_TOPIC];
    let arguments = [&["-G", "group-resume"][..], &from_start].concat();
    let wanted = i64::from(READ_PARTITIONS) * N_RECORDS;
    let first = run(bootstrap, &arguments, "")?.lines().count();
    let second = run(bootstrap, &arguments, "")?.lines().count();
    if i64::try_from(first) == Ok(wanted) && second == 0 {
        Ok(())
    } else {
        Err(format!("{first} records, and {second} the second time"))
    }
}
