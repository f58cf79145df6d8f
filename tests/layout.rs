//! The rules of `docs/architecture.md` that a machine can check: which crate may depend on what, where things stand, and
//! that a file can be read in one sitting.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What stands in the root, apart from files and folders whose names begin with a dot.
const TOP_LEVEL: [&str; 13] = [
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "buf.yaml",
    "deny.toml",
    "deploy",
    "docs",
    "libs",
    "proto",
    "rustfmt.toml",
    "services",
    "tests",
];

/// Crates without async, clock, I/O and randomness.
const PURE: [&str; 8] = ["access", "contract", "ledger", "linkage", "projection", "proof", "record", "validate"];

/// Not even through another crate. (Clocks come with `cel` and `cedar-policy`; nothing here may name them itself.)
const NEVER_IN_PURE: [&str; 12] = [
    "async-std",
    "fjall",
    "futures-executor",
    "getrandom",
    "hyper",
    "mio",
    "rand",
    "rdkafka",
    "sled",
    "smol",
    "tokio",
    "tonic",
];

/// Not as a dependency of their own.
const NOT_NAMED_BY_PURE: [&str; 14] = [
    "async-trait",
    "chrono",
    "fastrand",
    "fs-err",
    "futures",
    "jiff",
    "memmap2",
    "rand_chacha",
    "rand_core",
    "rustix",
    "tempfile",
    "time",
    "walkdir",
    "web-time",
];

/// What the sources of a pure crate never say outside of comments and tests.
const NOT_SAID_BY_PURE: [&str; 14] = [
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "std::time",
    "std::io",
    "TcpStream",
    "UdpSocket",
    "SystemTime::",
    "Instant::now",
    "async fn",
    "async move",
    ".await",
    "thread_local!",
];

const LINES_MAX: usize = 700;

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the folder of the tests has a parent").to_owned()
}

fn output_of(command: &mut Command) -> String {
    let out = command.current_dir(root()).output().expect("the command starts");
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("its output is UTF-8")
}

/// Every file that git knows of, relative to the root.
fn committed() -> Vec<String> {
    let files = output_of(Command::new("git").args(["ls-files", "-z"]));
    let root = root();
    let files: Vec<_> = files.split_terminator('\0').filter(|f| root.join(f).exists()).map(str::to_owned).collect();
    assert!(files.len() > 100, "git names the files of this repository");
    files
}

fn text_of(file: &str) -> Option<String> {
    String::from_utf8(std::fs::read(root().join(file)).expect("a committed file can be read")).ok()
}

/// One of this workspace's crates.
struct Krate {
    id: String,
    name: String,
    /// Its folder, relative to the root.
    folder: String,
    /// Names of what it depends on directly, of whatever kind: normal, development, build.
    named: BTreeSet<String>,
    /// The same, without development and build.
    named_normally: BTreeSet<String>,
}

impl Krate {
    fn is_library(&self) -> bool {
        self.folder.starts_with("libs/")
    }

    fn is_service(&self) -> bool {
        self.folder.starts_with("services/")
    }
}

struct Graph {
    crates: Vec<Krate>,
    /// Name of each package.
    names: BTreeMap<String, String>,
    /// Normal dependencies of each package as they were resolved.
    edges: BTreeMap<String, Vec<String>>,
}

fn text(value: &Value) -> String {
    value.as_str().expect("cargo metadata has a string here").to_owned()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("cargo metadata has a list here")
}

impl Graph {
    fn read() -> Self {
        let host = output_of(Command::new("rustc").arg("-vV"));
        let host = host.lines().find_map(|l| l.strip_prefix("host: ")).expect("rustc names its host").to_owned();
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let arguments = ["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", &host];
        let found: Value = serde_json::from_str(&output_of(Command::new(cargo).args(arguments))).expect("it is JSON");
        let members: BTreeSet<_> = list(&found["workspace_members"]).iter().map(text).collect();
        let packages = list(&found["packages"]);
        Self {
            crates: packages.iter().filter(|p| members.contains(&text(&p["id"]))).map(krate).collect(),
            names: packages.iter().map(|p| (text(&p["id"]), text(&p["name"]))).collect(),
            edges: list(&found["resolve"]["nodes"]).iter().map(|n| (text(&n["id"]), normal_edges(n))).collect(),
        }
    }

    fn crates(&self, which: impl Fn(&Krate) -> bool) -> impl Iterator<Item = &Krate> {
        self.crates.iter().filter(move |k| which(k))
    }

    /// Names of all packages that a crate is built from.
    fn reached_from(&self, id: &str) -> BTreeSet<&str> {
        let (mut seen, mut left) = (BTreeSet::from([id]), vec![id]);
        while let Some(next) = left.pop() {
            for to in &self.edges[next] {
                if seen.insert(to) {
                    left.push(to);
                }
            }
        }
        seen.into_iter().map(|id| self.names[id].as_str()).collect()
    }
}

fn krate(package: &Value) -> Krate {
    let manifest = PathBuf::from(text(&package["manifest_path"]));
    let folder = manifest.parent().expect("a manifest stands in a folder");
    let folder = folder.strip_prefix(root()).expect("members stand below the root");
    let named = |wanted: fn(&Value) -> bool| {
        list(&package["dependencies"]).iter().filter(|d| wanted(&d["kind"])).map(|d| text(&d["name"])).collect()
    };
    Krate {
        id: text(&package["id"]),
        name: text(&package["name"]),
        folder: folder.to_str().expect("folders have plain names").to_owned(),
        named: named(|_| true),
        named_normally: named(Value::is_null),
    }
}

fn normal_edges(node: &Value) -> Vec<String> {
    let is_normal = |d: &&Value| list(&d["dep_kinds"]).iter().any(|k| k["kind"].is_null());
    list(&node["deps"]).iter().filter(is_normal).map(|d| text(&d["pkg"])).collect()
}

/// Fails with all complaints at once.
fn expect_none(complaints: impl IntoIterator<Item = String>) {
    let complaints: Vec<_> = complaints.into_iter().collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

/// Complaints about crates that name one of `dependencies` and are not allowed to.
fn named_outside(graph: &Graph, dependencies: &[&str], allowed: impl Fn(&Krate) -> bool) -> Vec<String> {
    let offenders = graph.crates(|k| !allowed(k));
    offenders
        .flat_map(|k| {
            let named = dependencies.iter().filter(|d| k.named.contains(**d));
            named.map(|d| format!("{} depends on {d}", k.name)).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn every_crate_is_named_as_its_folder() {
    let graph = Graph::read();
    assert!(graph.crates(Krate::is_library).count() >= 13 && graph.crates(Krate::is_service).count() >= 3);
    expect_none(graph.crates.iter().filter_map(|k| {
        let expected = match k.folder.as_str() {
            "tests" => "hub-tests",
            folder => folder.split_once('/').map_or(folder, |(_, name)| name),
        };
        (k.name != expected).then(|| format!("{} stands in {}", k.name, k.folder))
    }));
}

#[test]
fn crates_stand_in_libs_services_or_tests() {
    let graph = Graph::read();
    let stands_well = |k: &&Krate| k.is_library() || k.is_service() || k.folder == "tests";
    expect_none(graph.crates.iter().filter(|k| !stands_well(k)).map(|k| k.folder.clone()));
}

#[test]
fn no_library_depends_on_a_service() {
    let graph = Graph::read();
    let services: Vec<_> = graph.crates(Krate::is_service).map(|k| k.name.as_str()).collect();
    expect_none(named_outside(&graph, &services, |k| !k.is_library()));
}

#[test]
fn only_the_hub_depends_on_other_services() {
    let graph = Graph::read();
    let services: Vec<_> = graph.crates(Krate::is_service).map(|k| k.name.as_str()).collect();
    expect_none(named_outside(&graph, &services, |k| !k.is_service() || k.name == "hub"));
}

#[test]
fn only_the_event_log_sees_kafka() {
    expect_none(named_outside(&Graph::read(), &["rdkafka", "rdkafka-sys"], |k| k.name == "event-log"));
}

#[test]
fn only_the_view_store_sees_the_stores() {
    expect_none(named_outside(&Graph::read(), &["fjall", "lsm-tree", "sled"], |k| k.name == "view-store"));
}

#[test]
fn types_of_the_api_stay_in_wire_and_the_services() {
    let tonic = ["tonic", "tonic-prost", "tonic-types", "tonic-health", "tonic-reflection", "wire"];
    let allowed = ["wire", "http-json", "identity", "telemetry", "hub-tests"];
    expect_none(named_outside(&Graph::read(), &tonic, |k| k.is_service() || allowed.contains(&k.name.as_str())));
}

#[test]
fn pure_crates_have_no_runtime_randomness_or_files_among_their_dependencies() {
    let graph = Graph::read();
    let pure: Vec<_> = graph.crates(|k| PURE.contains(&k.name.as_str())).collect();
    assert_eq!(pure.len(), PURE.len());
    expect_none(pure.iter().flat_map(|k| {
        let reached = graph.reached_from(&k.id);
        let reached = NEVER_IN_PURE.iter().filter(|d| reached.contains(**d)).collect::<Vec<_>>();
        let named = NOT_NAMED_BY_PURE.iter().filter(|d| k.named_normally.contains(**d));
        reached.into_iter().chain(named).map(|d| format!("{} is built with {d}", k.name)).collect::<Vec<_>>()
    }));
}

#[test]
fn pure_crates_only_depend_on_pure_crates_of_ours() {
    let graph = Graph::read();
    let ours: BTreeSet<_> = graph.crates.iter().map(|k| k.name.as_str()).collect();
    expect_none(graph.crates(|k| PURE.contains(&k.name.as_str())).flat_map(|k| {
        let impure = k.named_normally.iter().filter(|d| ours.contains(d.as_str()) && !PURE.contains(&d.as_str()));
        impure.map(|d| format!("{} depends on {d}", k.name)).collect::<Vec<_>>()
    }));
}

#[test]
fn the_offline_verifier_is_built_from_ledger_and_record_alone() {
    let graph = Graph::read();
    let ours: BTreeSet<_> = graph.crates.iter().map(|k| k.name.as_str()).collect();
    let proof = graph.crates(|k| k.name == "proof").next().expect("the verifier is a crate");
    let reached: Vec<_> = graph.reached_from(&proof.id).into_iter().filter(|name| ours.contains(name)).collect();
    assert_eq!(reached, ["ledger", "proof", "record"]);
}

#[test]
fn sources_of_pure_crates_name_no_clock_file_or_thread() {
    let is_pure = |file: &&String| PURE.iter().any(|name| file.starts_with(&format!("libs/{name}/src/")));
    expect_none(committed().iter().filter(is_pure).filter(|f| !f.ends_with("tests.rs")).flat_map(|file| {
        let source = text_of(file).expect("sources are UTF-8");
        let code = source.split("#[cfg(test)]").next().expect("a split has a first part").lines();
        let code = code.enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
        let said =
            code.filter_map(|(n, line)| NOT_SAID_BY_PURE.iter().find(|w| line.contains(**w)).map(|w| (n + 1, w)));
        said.map(|(n, word)| format!("{file}:{n}: {word}")).collect::<Vec<_>>()
    }));
}

#[test]
fn the_map_names_every_crate() {
    let map = text_of("docs/architecture.md").expect("the map is UTF-8");
    let graph = Graph::read();
    let named = |k: &&Krate| map.contains(&format!("| `{}` |", k.folder));
    expect_none(
        graph.crates.iter().filter(|k| !named(k)).map(|k| format!("docs/architecture.md has no line for {}", k.folder)),
    );
}

#[test]
fn the_root_holds_what_it_should_and_nothing_else() {
    let files = committed();
    let found: BTreeSet<_> = files.iter().map(|f| f.split('/').next().expect("a path has a first part")).collect();
    let allowed = |name: &str| name.starts_with('.') || TOP_LEVEL.contains(&name);
    expect_none(found.iter().filter(|name| !allowed(name)).map(|name| format!("{name} does not belong into the root")));
    let needed =
        ["Cargo.lock", "Cargo.toml", "README.md", "LICENSE", "buf.yaml", "deploy", "docs", "libs", "proto", "services"];
    expect_none(needed.iter().filter(|name| !found.contains(**name)).map(|name| format!("{name} is absent")));
}

#[test]
fn no_file_names_a_folder_of_one_machine() {
    // In two parts, so that this file does not name them either.
    let paths = [["/wo", "rk/"], ["/ro", "ot/"], ["/fa", "rm/"], ["/ho", "me/"], ["/tm", "p/r/"], ["../sha", "red"]]
        .map(|p| p.concat());
    expect_none(committed().iter().filter(|f| *f != "Cargo.lock").flat_map(|file| {
        let text = text_of(file).unwrap_or_default();
        let lines = text.lines().enumerate().filter(|(_, line)| paths.iter().any(|p| line.contains(p.as_str())));
        lines.map(|(n, line)| format!("{file}:{}: {}", n + 1, line.trim())).collect::<Vec<_>>()
    }));
}

#[test]
fn source_files_are_read_in_one_sitting() {
    expect_none(committed().iter().filter(|f| f.ends_with(".rs")).filter_map(|file| {
        let lines = text_of(file).expect("sources are UTF-8").lines().count();
        (lines > LINES_MAX).then(|| format!("{file} has {lines} lines, {LINES_MAX} are allowed"))
    }));
}

#[test]
fn versions_of_dependencies_stand_in_one_place() {
    let graph = Graph::read();
    expect_none(graph.crates.iter().flat_map(|k| {
        let manifest = text_of(&format!("{}/Cargo.toml", k.folder)).expect("manifests are UTF-8");
        let mut inside = false;
        let mut complaints = Vec::new();
        for line in manifest.lines() {
            if line.starts_with('[') {
                inside = line.contains("dependencies");
            } else if inside
                && line.contains('=')
                && !line.starts_with('#')
                && !line.contains("workspace = true")
                && !line.contains(".workspace")
            {
                complaints.push(format!("{}: {line}", k.folder));
            }
        }
        complaints
    }));
}
