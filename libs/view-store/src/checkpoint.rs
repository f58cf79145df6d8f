//! Carries the overlays of the dense files into the files, so that a power loss at any moment can be repaired.
//!
//! A block may be torn when the power fails while it is overwritten, and the store's redo rows hold only the rows
//! that changed, not their neighbours. So all new images go to a side file first; only when that is on disk are
//! they copied to their places. On open a complete side file is copied again (doing so twice changes nothing),
//! and an incomplete one proves that no block was touched yet.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use crate::block::{self, BLOCK_BYTES};
use crate::dense::{Carry, DenseDisk, DenseFile, DenseTable};
use crate::error::Error;

pub(crate) const IMAGES_FILE: &str = "checkpoint.images";
const MAGIC: &[u8; 8] = b"HUBIMAGE";
/// File number (1), block number (8).
const IMAGE_HEAD_BYTES: usize = 9;
/// Magic (8), number of images (8), CRC32C of all before it (4).
const TRAILER_BYTES: usize = 20;

/// Writes the rows to their files and puts them on disk.
pub(crate) fn carry(dir: &Path, parts: &[Carry]) -> Result<(), Error> {
    parts.iter().try_for_each(Carry::reserve)?;
    let path = dir.join(IMAGES_FILE);
    write_images(&path, parts)?;
    copy(&path, &parts.iter().map(Carry::disk).collect::<Vec<_>>())?;
    // If this is lost the same images are copied once more.
    File::options().write(true).truncate(true).open(&path).map_err(|source| Error::io(&path, source))?;
    Ok(())
}

pub(crate) fn write_images(path: &Path, parts: &[Carry]) -> Result<(), Error> {
    let mut images = Images::create(path.to_owned())?;
    let mut image = block::empty();
    for part in parts {
        for number in part.blocks() {
            part.image(number, &mut image)?;
            images.add(part.disk().table(), number, &image[..])?;
        }
    }
    images.finish()
}

/// Copies the images of a complete side file to their places; nothing when there is none.
pub(crate) fn copy_to_places(dir: &Path, files: &[DenseFile]) -> Result<(), Error> {
    copy(&dir.join(IMAGES_FILE), &files.iter().map(DenseFile::disk).collect::<Vec<_>>())
}

fn copy(path: &Path, disks: &[&DenseDisk]) -> Result<(), Error> {
    let at_path = |source| Error::io(path, source);
    let Some(count) = complete_images(path)? else { return Ok(()) };
    let mut from = BufReader::with_capacity(1 << 16, File::open(path).map_err(at_path)?);
    let mut head = [0; IMAGE_HEAD_BYTES];
    let mut image = block::empty();
    for _ in 0..count {
        from.read_exact(&mut head).map_err(at_path)?;
        from.read_exact(&mut image[..]).map_err(at_path)?;
        let number = u64::from_le_bytes(head[1..].try_into().expect("eight bytes"));
        let disk = DenseTable::from_number(head[0]).and_then(|table| disks.iter().find(|disk| disk.table() == table));
        let disk = disk.ok_or_else(|| Error::DamagedFile { path: path.to_owned(), what: "names an unknown file" })?;
        disk.write_block(number, &image)?;
    }
    disks.iter().try_for_each(|disk| disk.sync())
}

/// Which blocks a checkpoint that was broken off will copy to their places when the store is opened: file number and block number.
pub(crate) fn pending(dir: &Path) -> Result<BTreeSet<(u8, u64)>, Error> {
    let path = dir.join(IMAGES_FILE);
    let at_path = |source| Error::io(&path, source);
    let Some(count) = complete_images(&path)? else { return Ok(BTreeSet::new()) };
    let mut from = BufReader::with_capacity(1 << 16, File::open(&path).map_err(at_path)?);
    let mut image = vec![0; IMAGE_HEAD_BYTES + BLOCK_BYTES];
    let mut blocks = BTreeSet::new();
    for _ in 0..count {
        from.read_exact(&mut image).map_err(at_path)?;
        blocks.insert((image[0], u64::from_le_bytes(image[1..IMAGE_HEAD_BYTES].try_into().expect("eight bytes"))));
    }
    Ok(blocks)
}

/// Number of images in the side file, when it is whole.
fn complete_images(path: &Path) -> Result<Option<u64>, Error> {
    let at_path = |source| Error::io(path, source);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at_path(error)),
    };
    let bytes = file.metadata().map_err(at_path)?.len();
    let image_bytes = (IMAGE_HEAD_BYTES + BLOCK_BYTES) as u64;
    let Some(count) = bytes.checked_sub(TRAILER_BYTES as u64).map(|images| images / image_bytes) else {
        return Ok(None);
    };
    let mut from = BufReader::with_capacity(1 << 16, file);
    let mut image = vec![0; IMAGE_HEAD_BYTES + BLOCK_BYTES];
    let mut sum = 0;
    for _ in 0..count {
        from.read_exact(&mut image).map_err(at_path)?;
        sum = crc32c::crc32c_append(sum, &image);
    }
    let mut found = Vec::with_capacity(TRAILER_BYTES);
    from.read_to_end(&mut found).map_err(at_path)?;
    Ok((found == trailer(count, sum)).then_some(count))
}

fn trailer(count: u64, sum: u32) -> Vec<u8> {
    let head = [&MAGIC[..], &count.to_le_bytes()].concat();
    let sum = crc32c::crc32c_append(sum, &head);
    [head, sum.to_le_bytes().to_vec()].concat()
}

/// The side file while it is written.
struct Images {
    path: PathBuf,
    out: BufWriter<File>,
    count: u64,
    sum: u32,
}

impl Images {
    fn create(path: PathBuf) -> Result<Self, Error> {
        let file = File::create(&path).map_err(|source| Error::io(&path, source))?;
        Ok(Self { path, out: BufWriter::with_capacity(1 << 16, file), count: 0, sum: 0 })
    }

    fn add(&mut self, table: DenseTable, number: u64, image: &[u8]) -> Result<(), Error> {
        self.write(&[table.number()])?;
        self.write(&number.to_le_bytes())?;
        self.write(image)?;
        self.count += 1;
        Ok(())
    }

    fn finish(mut self) -> Result<(), Error> {
        let trailer = trailer(self.count, self.sum);
        self.write(&trailer)?;
        self.out.flush().map_err(|source| Error::io(&self.path, source))?;
        self.out.get_ref().sync_data().map_err(|source| Error::io(&self.path, source))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.sum = crc32c::crc32c_append(self.sum, bytes);
        self.out.write_all(bytes).map_err(|source| Error::io(&self.path, source))
    }
}
