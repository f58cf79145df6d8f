//! Compiles the four register contracts with protox: Rust types for the generator, and the descriptor set of the register
//! that is brought to a hub at run time.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const VALIDATE: &str = "buf/validate/validate.proto";
const POPULATION: &str = "hub/register/population/v1/population.proto";
const REGISTERS: [&str; 4] = [
    "hub/register/civil/v1/civil.proto",
    "hub/register/land/v1/land.proto",
    "hub/register/health/v1/health.proto",
    POPULATION,
];

fn main() -> Result<()> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let proto = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../proto").canonicalize()?;
    println!("cargo::rerun-if-changed=build.rs");
    for folder in ["register", "type", "contract"] {
        println!("cargo::rerun-if-changed={}", proto.join("hub").join(folder).display());
    }
    let include = out.join("include");
    provide_validate_proto(&include)?;
    let includes = [proto, include];

    let mut descriptors = protox::compile(REGISTERS, &includes)?;
    descriptors
        .file
        .retain(|file| file.package().starts_with("hub.register.") || file.package().starts_with("hub.type."));
    prost_build::Config::new().out_dir(&out).include_file("contracts.rs").compile_fds(descriptors)?;

    // Through the compiler, not through prost types: those would drop the hub's options.
    let mut compiler = protox::Compiler::new(&includes)?;
    compiler.include_source_info(true).include_imports(true).open_file(POPULATION)?;
    fs::write(out.join("population.binpb"), compiler.encode_file_descriptor_set())?;
    Ok(())
}

/// Copies the stock rules out of the package that carries them. The package itself is not compiled: its own build needs
/// protoc.
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
