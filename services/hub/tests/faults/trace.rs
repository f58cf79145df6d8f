//! What a process did to the files of one directory, as `strace -ff -ttt -T -y -xx` recorded it: every write, flush and change of a name, in
//! the order of time.

use std::path::{Path, PathBuf};

/// The system calls that change files, flush them, or move the offset of one that is written to.
pub const CALLS: &str = "write,pwrite64,writev,pwritev,pwritev2,fsync,fdatasync,syncfs,sync,ftruncate,truncate,fallocate,rename,renameat,\
renameat2,unlink,unlinkat,link,linkat,mkdir,mkdirat,rmdir,open,openat,creat,lseek,copy_file_range,sendfile";

/// One call that did something.
#[derive(Debug, Clone)]
pub struct Op {
    /// When it began and ended, in microseconds since 1970.
    pub from: i64,
    pub to: i64,
    pub what: What,
}

#[derive(Debug, Clone)]
pub enum What {
    /// A file is there under this name from now on, and this descriptor is at its beginning.
    Open {
        path: PathBuf,
        fd: u32,
        create: bool,
        truncate: bool,
    },
    /// Bytes at an offset, or at the descriptor's.
    Write {
        path: PathBuf,
        fd: u32,
        at: Option<u64>,
        bytes: Vec<u8>,
    },
    Seek {
        path: PathBuf,
        fd: u32,
        at: u64,
    },
    Truncate {
        path: PathBuf,
        bytes: u64,
    },
    Extend {
        path: PathBuf,
        bytes: u64,
    },
    MakeDir {
        path: PathBuf,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Remove {
        path: PathBuf,
    },
    /// A file or a folder was flushed.
    Sync {
        path: PathBuf,
    },
    SyncAll,
}

/// Reads the files `PREFIX.*` of a trace; of what happened outside `below` nothing is told.
pub fn read(prefix: &Path, below: &Path) -> Vec<Op> {
    let folder = prefix.parent().expect("a prefix in a folder");
    let name = prefix.file_name().and_then(|name| name.to_str()).expect("a name");
    let mut ops = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the trace's folder") {
        let path = entry.expect("an entry").path();
        if !path.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with(name)) {
            continue;
        }
        let text = std::fs::read(&path).expect("a trace");
        let text = String::from_utf8(text).expect("strace writes ASCII");
        ops.extend(text.lines().filter_map(|line| op(line, below)));
    }
    ops.sort_by_key(|op| op.from);
    ops
}

fn op(line: &str, below: &Path) -> Option<Op> {
    // A call that the end of the process cut short has no result: whether it was done is not known, and it was not flushed.
    let (call, result) = line.rsplit_once(" = ")?;
    let (result, took) = result.rsplit_once(" <")?;
    if result.starts_with('-') {
        return None;
    }
    let took: f64 = took.strip_suffix('>')?.parse().ok()?;
    let (time, call) = call.split_once(' ')?;
    let (seconds, micros) = time.split_once('.')?;
    let from = seconds.parse::<i64>().ok()? * 1_000_000 + micros.parse::<i64>().ok()?;
    let (name, arguments) = call.split_once('(')?;
    let arguments = arguments.trim_end().strip_suffix(')')?;
    let what = what(name, arguments, result, below)?;
    Some(Op { from, to: from + (took * 1e6) as i64, what })
}

fn what(name: &str, arguments: &str, result: &str, below: &Path) -> Option<What> {
    let (first, rest) = arguments.split_once(", ").unwrap_or((arguments, ""));
    let inside = |path: PathBuf| path.starts_with(below).then_some(path);
    // The process works in the folder that holds the traced one.
    let named = |quoted: &str| below.parent().expect("a folder in a folder").join(text(quoted));
    let number = |text: &str| text.trim().parse::<u64>().expect("a number");
    let last = |text: &str| number(text.rsplit(", ").next().expect("an argument"));
    match name {
        "write" => {
            let (fd, path) = descriptor(first)?;
            let bytes = quoted(rest);
            Some(What::Write { path: inside(path)?, fd, at: None, bytes: bytes[..number(result) as usize].to_vec() })
        }
        "pwrite64" => {
            let (fd, path) = descriptor(first)?;
            let bytes = quoted(rest)[..number(result) as usize].to_vec();
            Some(What::Write { path: inside(path)?, fd, at: Some(last(rest)), bytes })
        }
        "writev" => {
            let (fd, path) = descriptor(first)?;
            let mut bytes: Vec<u8> = rest.split("iov_base=").skip(1).flat_map(quoted).collect();
            bytes.truncate(number(result) as usize);
            Some(What::Write { path: inside(path)?, fd, at: None, bytes })
        }
        "lseek" => {
            let (fd, path) = descriptor(first)?;
            Some(What::Seek { path: inside(path)?, fd, at: number(result) })
        }
        "fsync" | "fdatasync" => Some(What::Sync { path: inside(descriptor(first)?.1)? }),
        "syncfs" | "sync" => Some(What::SyncAll),
        "ftruncate" => Some(What::Truncate { path: inside(descriptor(first)?.1)?, bytes: last(rest) }),
        "fallocate" => {
            let path = inside(descriptor(first)?.1)?;
            let mut numbers = rest.split(", ");
            let mode = numbers.next().expect("a mode");
            match mode {
                "0" => Some(What::Extend { path, bytes: numbers.map(number).sum() }),
                "FALLOC_FL_KEEP_SIZE" => None,
                other => panic!("{other} is not simulated"),
            }
        }
        "openat" | "open" | "creat" => {
            let (fd, path) = descriptor(result)?;
            let (create, truncate) = (rest.contains("O_CREAT"), rest.contains("O_TRUNC"));
            Some(What::Open { path: inside(path)?, fd, create, truncate })
        }
        "mkdir" => Some(What::MakeDir { path: inside(named(first))? }),
        "mkdirat" => Some(What::MakeDir { path: inside(at(first, rest))? }),
        "rename" => Some(What::Rename { from: inside(named(first))?, to: named(rest) }),
        "renameat" | "renameat2" => {
            let mut rest = rest.splitn(3, ", ");
            let (from, folder, to) = (rest.next()?, rest.next()?, rest.next()?);
            Some(What::Rename { from: inside(at(first, from))?, to: at(folder, to) })
        }
        "unlink" | "rmdir" => Some(What::Remove { path: inside(named(first))? }),
        "unlinkat" => Some(What::Remove { path: inside(at(first, rest))? }),
        other => {
            let concerned = arguments.contains(&hexadecimal(below));
            assert!(!concerned, "{other} is not simulated");
            None
        }
    }
}

/// `7<\x2f\x74>`: number and path; nothing of what is deleted or no file.
fn descriptor(text: &str) -> Option<(u32, PathBuf)> {
    let (number, path) = text.split_once('<')?;
    let path = path.strip_suffix('>')?;
    Some((number.trim().parse().ok()?, PathBuf::from(String::from_utf8(unescaped(path)?).ok()?)))
}

/// The path of a name below a folder's descriptor.
fn at(folder: &str, name: &str) -> PathBuf {
    let (_, folder) = folder.split_once('<').expect("a folder's descriptor");
    let folder = unescaped(folder.strip_suffix('>').expect("a folder's descriptor")).expect("a path");
    PathBuf::from(String::from_utf8(folder).expect("UTF-8")).join(text(name))
}

fn text(quoted_text: &str) -> PathBuf {
    PathBuf::from(String::from_utf8(quoted(quoted_text)).expect("UTF-8"))
}

/// The bytes of the first quoted string.
fn quoted(text: &str) -> Vec<u8> {
    let (_, text) = text.split_once('"').expect("a quoted string");
    let (text, _) = text.split_once('"').expect("a quoted string");
    unescaped(text).expect("hexadecimal bytes")
}

fn unescaped(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16).map(|d| d as u8);
    text.as_bytes()
        .chunks(4)
        .map(|four| match four {
            [b'\\', b'x', high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

fn hexadecimal(path: &Path) -> String {
    path.to_str().expect("UTF-8").bytes().map(|byte| format!("\\x{byte:02x}")).collect()
}
