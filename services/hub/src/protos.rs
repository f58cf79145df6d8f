//! The `.proto` texts that the hub knows, compiled at run time: no protoc is needed.

use std::path::Path;

use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver};

/// The texts that `hub contracts export` writes; without those of registers when these are to come from a publisher.
struct Exported {
    registers: bool,
}

impl FileResolver for Exported {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let has = |path: &str| path == name && (self.registers || !path.starts_with("hub/register/"));
        let text = contract::export().iter().find(|(path, _)| has(path));
        let (_, text) = text.ok_or_else(|| protox::Error::file_not_found(name))?;
        File::from_source(name, text)
    }
}

/// The kinds and their attributes as a serialised `FileDescriptorSet` with all imports.
///
/// # Panics
/// Never: the texts are compiled into the hub, and a test compiles them.
pub fn kinds() -> Vec<u8> {
    let files: Vec<&str> =
        contract::export().iter().map(|(path, _)| *path).filter(|path| path.starts_with("hub/kind/")).collect();
    let mut chain = ChainFileResolver::new();
    chain.add(Exported { registers: false });
    chain.add(GoogleFileResolver::new());
    compile(chain, &files).expect("the kinds that are built in compile")
}

/// A `.proto` file of a register as a serialised `FileDescriptorSet` with all imports. Imports are looked for under `include`, and among
/// the hub's own files.
///
/// # Errors
/// What the compiler says, with file and line.
pub fn register(include: &Path, file: &str) -> Result<Vec<u8>, protox::Error> {
    let mut chain = ChainFileResolver::new();
    // The hub's own files first: a publisher's old copy must not stand in for them. Of registers the publisher's come first, also of those
    // that are built in: they are what is to be registered.
    chain.add(Exported { registers: false });
    chain.add(GoogleFileResolver::new());
    chain.add(IncludeFileResolver::new(include.to_owned()));
    chain.add(Exported { registers: true });
    compile(chain, &[file])
}

fn compile(resolver: ChainFileResolver, files: &[&str]) -> Result<Vec<u8>, protox::Error> {
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_source_info(true).include_imports(true);
    compiler.open_files(files)?;
    // As bytes: the typed form would lose the options.
    Ok(compiler.encode_file_descriptor_set())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_compile() {
        let kinds = kinds();
        let pool = prost_reflect::DescriptorPool::decode(kinds.as_slice()).expect("a descriptor set");
        let person = pool.get_message_by_name("hub.kind.v1.Person").expect("a kind");
        assert!(person.options().extensions().next().is_some(), "the options of the hub are kept");
    }

    #[test]
    fn a_register_compiles_with_the_hubs_own_files_and_a_fault_names_its_line() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let text = "syntax = \"proto3\";\npackage a.v1;\nimport \"hub/contract/v1/options.proto\";\nmessage A { strin x = 1; }\n";
        std::fs::write(dir.path().join("a.proto"), text).expect("writable");
        let error = register(dir.path(), "a.proto").expect_err("there is no such type");
        assert!(error.to_string().contains("strin"), "{error}");
        std::fs::write(dir.path().join("a.proto"), text.replace("strin ", "string ")).expect("writable");
        assert!(register(dir.path(), "a.proto").expect("a sound file").len() > 1_000);
    }
}
