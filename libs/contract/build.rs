//! Compiles the contracts under `proto/` with protox, so that no protoc is needed: descriptor sets
//! of the built-in registers, Rust types of the hub's options, and all texts for export.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const VALIDATE: &str = "buf/validate/validate.proto";
const OPTIONS: &str = "hub/contract/v1/options.proto";
const KINDS: [&str; 2] = ["hub/kind/v1/person.proto", "hub/kind/v1/parcel.proto"];
const TYPES: &str = "hub/type/v1/types.proto";
/// Registers that every hub knows; any other is registered at run time.
const REGISTERS: [(&str, &str); 3] = [
    ("civil", "hub/register/civil/v1/civil.proto"),
    ("land", "hub/register/land/v1/land.proto"),
    ("health", "hub/register/health/v1/health.proto"),
];

fn main() -> Result<()> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let proto = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../proto").canonicalize()?;
    println!("cargo::rerun-if-changed=build.rs");
    let mut names = vec![OPTIONS, TYPES];
    names.extend(KINDS);
    names.extend(REGISTERS.map(|(_, file)| file));
    for name in &names {
        println!("cargo::rerun-if-changed={}", proto.join(name).display());
    }
    let include = out.join("include");
    provide_validate_proto(&include)?;
    let includes = [proto.clone(), include.clone()];

    fs::write(out.join("kinds.binpb"), compile(&includes, &KINDS)?)?;
    for (register, file) in REGISTERS {
        fs::write(out.join(format!("{register}.binpb")), compile(&includes, &[file])?)?;
    }
    let options = protox::compile([OPTIONS], &includes)?;
    prost_build::Config::new().out_dir(&out).compile_fds(options)?;
    let mut texts = names.iter().map(|name| (*name, proto.join(name))).collect::<Vec<_>>();
    texts.push((VALIDATE, include.join(VALIDATE)));
    texts.sort();
    fs::write(out.join("texts.rs"), texts_source(&texts)?)?;
    Ok(())
}

fn compile(includes: &[PathBuf], files: &[&str]) -> Result<Vec<u8>> {
    let mut compiler = protox::Compiler::new(includes)?;
    compiler.include_source_info(true).include_imports(true);
    compiler.open_files(files)?;
    Ok(compiler.encode_file_descriptor_set())
}

fn texts_source(texts: &[(&str, PathBuf)]) -> Result<String> {
    let mut source = String::from("&[");
    for (name, path) in texts {
        write!(source, "({name:?}, include_str!({:?})),", path.display().to_string())?;
    }
    source.push(']');
    Ok(source)
}

/// Copies the stock rules out of the package that carries them. The package itself is not
/// compiled: its own build needs protoc.
fn provide_validate_proto(include: &Path) -> Result<()> {
    let target = include.join(VALIDATE);
    let source = package_dir("prost-protovalidate-types")?.join("proto").join(VALIDATE);
    fs::create_dir_all(target.parent().ok_or("the target has a parent")?)?;
    fs::write(&target, fs::read(source)?)?;
    Ok(())
}

fn package_dir(package: &str) -> Result<PathBuf> {
    // Without network first: an ordinary build has already everything but this package.
    let metadata = metadata(true).or_else(|_| metadata(false))?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata lists no packages")?;
    let manifest = packages
        .iter()
        .find(|found| found["name"] == package)
        .and_then(|found| found["manifest_path"].as_str())
        .ok_or_else(|| format!("cargo metadata does not name {package}"))?;
    Ok(Path::new(manifest).parent().ok_or("a manifest has a parent")?.to_owned())
}

fn metadata(offline: bool) -> Result<serde_json::Value> {
    let mut command = Command::new(env::var("CARGO")?);
    command.args(["metadata", "--format-version", "1", "--all-features", "--filter-platform"]);
    command.arg(env::var("HOST")?).arg("--manifest-path");
    command.arg(Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("Cargo.toml"));
    if offline {
        command.arg("--offline");
    }
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
