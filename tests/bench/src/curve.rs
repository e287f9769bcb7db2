//! How cost grows: the same load with ever more of one thing, drave and Kafka in turns.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::Plan;
use crate::generator::{self, Told};
use crate::plot::{self, Line};
use crate::system::{Cluster, System};

/// What there is ever more of, and the load at each point.
#[derive(Debug)]
struct Axis {
    name: &'static str,
    title: &'static str,
    points: &'static [u64],
    load: fn(u64) -> String,
    /// What is written before, and not counted.
    before: Before,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Nothing,
    /// Twice into each partition of a topic of the point's own, so that its files and their first index entry are there:
    /// they take Kafka some 4 ms.
    EachPartition,
    /// The same topic for all points, until it holds the point's gigabytes.
    Gigabytes,
}

const AXES: &[Axis] = &[
    Axis {
        name: "connections",
        title: "connections, batches of 16 KiB",
        points: &[1, 3, 10, 30, 100, 300, 1_000],
        load: |n| format!("{WARM_UP} --batch-bytes 16384 --in-flight 1 --connections {n}"),
        before: Before::Nothing,
    },
    Axis {
        name: "partitions",
        title: "partitions, batches of 16 KiB, 2 connections",
        // Kafka makes at most 10,000 records of a request, the topic's own among them.
        points: &[1, 10, 100, 1_000, 9_900],
        load: |n| format!("{WARM_UP} --batch-bytes 16384 --connections 2 --topic partitions-{n}"),
        before: Before::EachPartition,
    },
    Axis {
        name: "record-bytes",
        title: "bytes of a record, batches of 16 KiB or one record, 2 connections",
        points: &[100, 1_000, 10_000, 100_000, 1_000_000],
        load: |n| format!("{WARM_UP} --batch-bytes 16384 --connections 2 --record-bytes {n}"),
        before: Before::Nothing,
    },
    Axis {
        name: "log-gigabytes",
        title: "gigabytes in the log, batches of 64 KiB, 2 connections",
        points: &[1, 2, 5, 10, 20, 50],
        // All that is written is counted: it lies in the log.
        load: |_| format!("--warm-up 0s --batch-bytes 65536 --connections 2 --topic {GROWING}"),
        before: Before::Gigabytes,
    },
];
const WARM_UP: &str = "--warm-up 1s";
const GROWING: &str = "grows";
/// So many of a topic's partitions are written to in a second, one after the other, before a point is measured.
const TOUCHES_PER_SECOND: u32 = 200;
/// In place of their names.
const ALL: &str = "1";
const SYSTEMS: [System; 2] = [System::Drave, System::Kafka];

/// At so much of the axis' thing.
#[derive(Clone, Copy, Debug)]
struct Point {
    at: f64,
    told: Told,
}

/// Of the axes named, or of all; what was measured of others before stays.
pub(crate) fn run(plan: &Plan, names: &str) -> anyhow::Result<()> {
    let is_wanted = |it: &&Axis| names == ALL || crate::is_named(it.name, names);
    let axes: Vec<&Axis> = AXES.iter().filter(is_wanted).collect();
    if axes.is_empty() {
        let known: Vec<_> = AXES.iter().map(|it| it.name).collect();
        bail!("`{names}` names no axis; there are {}", known.join(", "));
    }
    fs::create_dir_all(&plan.out)?;
    let path = plan.out.join("curves.json");
    let mut all: serde_json::Map<String, Value> = match fs::read(&path) {
        Ok(before) => serde_json::from_slice(&before).context("curves.json")?,
        Err(_) => serde_json::Map::new(),
    };
    for axis in axes {
        let mut measured = Vec::new();
        for system in SYSTEMS {
            println!("{} with ever more {}", system.name(), axis.title);
            let points = measure(plan, axis, system);
            let points = points.with_context(|| format!("{} of {}", axis.name, system.name()))?;
            measured.push((system, points));
        }
        draw(&plan.out, axis, &measured)?;
        let of = |points: &[Point]| points.iter().map(as_json).collect::<Vec<_>>();
        let systems = measured
            .iter()
            .map(|(system, points)| (system.name().to_owned(), json!(of(points))));
        all.insert(axis.name.to_owned(), systems.collect());
        fs::write(&path, format!("{:#}\n", json!(all)))?;
    }
    Ok(())
}

fn measure(plan: &Plan, axis: &Axis, system: System) -> anyhow::Result<Vec<Point>> {
    let cluster = Cluster::start(system, 1, &plan.dir)?;
    // A curve that rises while code is compiled says nothing of what there is ever more of.
    generator::perf(&cluster, plan.warm_up, "written")?;
    let mut points = Vec::new();
    let mut n_bytes = 0.0;
    for more in axis.points {
        let load = (axis.load)(*more);
        let at = match axis.before {
            Before::Nothing => f64::from(u32::try_from(*more)?),
            Before::EachPartition => touch_each(&cluster, *more)?,
            Before::Gigabytes => {
                generator::create_topic(&cluster, GROWING, 6, 1)?;
                while n_bytes / 1e9 < f64::from(u32::try_from(*more)?) {
                    n_bytes += produce(&cluster, 1, &load)?.n_bytes;
                }
                n_bytes / 1e9
            }
        };
        plan.rest.take()?;
        let told = match produce(&cluster, plan.seconds.div_ceil(2), &load) {
            Ok(told) => told,
            // Where a system gives up is a figure too: the curve ends there.
            Err(error) => {
                println!("  {at:>9.1}: none: {error:#}");
                return Ok(points);
            }
        };
        n_bytes += told.n_bytes;
        let point = Point { at, told };
        println!(
            "  {:>9.1}: {:.1} MB/s, {:.0} requests/s, p99 {:.2} ms",
            point.at,
            point.told.mb_per_second(),
            point.told.requests_per_second(),
            point.p99()
        );
        points.push(point);
    }
    Ok(points)
}

fn produce(cluster: &Cluster, seconds: u32, load: &str) -> anyhow::Result<Told> {
    let arguments = format!("produce --acks 1 --duration {seconds}s {load}");
    generator::perf(cluster, &arguments, "written")
}

/// Makes the topic, and writes a little into each of its partitions, of which it says the number.
fn touch_each(cluster: &Cluster, n_partitions: u64) -> anyhow::Result<f64> {
    let n = u32::try_from(n_partitions)?;
    let topic = format!("partitions-{n}");
    generator::create_topic(cluster, &topic, n, 1)?;
    // Larger than what may lie between two entries of an index.
    let load = format!(
        "--warm-up 0s --record-bytes 6000 --rate {TOUCHES_PER_SECOND} --connections 2 --topic {topic}"
    );
    produce(cluster, (2 * n).div_ceil(TOUCHES_PER_SECOND), &load)?;
    Ok(f64::from(n))
}

impl Point {
    fn p99(&self) -> f64 {
        self.told.p99_ms.unwrap_or_default()
    }
}

fn as_json(point: &Point) -> Value {
    json!({ "at": point.at, "mb_per_s": point.told.mb_per_second(), "requests_per_s": point.told.requests_per_second(), "p99_ms": point.p99() })
}

fn draw(out: &Path, axis: &Axis, measured: &[(System, Vec<Point>)]) -> anyhow::Result<()> {
    draw_figure(out, axis, measured, ("MB/s", |it| it.told.mb_per_second()))?;
    draw_figure(out, axis, measured, ("p99 ms", |it| it.p99()))
}

fn draw_figure(
    out: &Path,
    axis: &Axis,
    measured: &[(System, Vec<Point>)],
    (figure, of): (&str, fn(&Point) -> f64),
) -> anyhow::Result<()> {
    let lines = measured.iter().map(|(system, points)| Line {
        name: system.name(),
        points: points.iter().map(|it| (it.at, of(it))).collect(),
    });
    let lines: Vec<Line> = lines.collect();
    let short = figure.split(['/', ' ']).next().unwrap_or(figure);
    let file = format!("curve-{}-{}.svg", axis.name, short.to_lowercase());
    let drawn = plot::curves(&format!("{figure} by {}", axis.title), &lines);
    Ok(fs::write(out.join(file), drawn)?)
}
