//! Which folders hold views: those that serve, those that are being prepared beside them, and those that served before.
//!
//! The folder of the views holds a numbered folder per store, and `plan.json`, which is replaced as a whole: whatever a kill
//! interrupts, it names folders of which each can be opened or folded again.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

const PLAN: &str = "plan.json";

/// A store's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    pub(crate) number: u64,
    /// Name of its basis, where that is known.
    #[serde(default)]
    pub(crate) basis: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    serving: Place,
    prepared: Option<Place>,
    previous: Option<Place>,
}

/// The folders.
#[derive(Debug)]
pub(crate) struct Generations {
    dir: PathBuf,
    plan: Plan,
}

impl Generations {
    /// Reads the plan; the first one when there is none.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        // Whoever is refused needs to know where.
        let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", dir.display()));
        fs::create_dir_all(dir).map_err(named)?;
        Ok(Self { dir: dir.to_owned(), plan: Self::read(dir).map_err(named)? })
    }

    fn read(dir: &Path) -> io::Result<Plan> {
        match fs::read(dir.join(PLAN)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| {
                let what = format!(
                    "{}: {e}: remove the file and the folders beside it, they are folded again",
                    dir.join(PLAN).display()
                );
                io::Error::new(io::ErrorKind::InvalidData, what)
            }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                Ok(Plan { serving: Place { number: 1, basis: String::new() }, prepared: None, previous: None })
            }
            Err(e) => Err(e),
        }
    }

    fn folder(&self, place: &Place) -> PathBuf {
        self.dir.join(place.number.to_string())
    }

    /// The folder of the views that serve.
    pub(crate) fn serving(&self) -> PathBuf {
        self.folder(&self.plan.serving)
    }

    /// The folder of the views that are being prepared.
    pub(crate) fn prepared(&self) -> Option<(PathBuf, &str)> {
        self.plan.prepared.as_ref().map(|place| (self.folder(place), place.basis.as_str()))
    }

    /// The folder of the views that served before.
    pub(crate) fn former(&self) -> Option<PathBuf> {
        self.plan.previous.as_ref().map(|place| self.folder(place))
    }

    /// Name of the basis of those that served before.
    pub(crate) fn previous(&self) -> Option<&str> {
        self.plan.previous.as_ref().map(|place| place.basis.as_str())
    }

    fn next(&self) -> u64 {
        let plan = &self.plan;
        let numbers = [Some(&plan.serving), plan.prepared.as_ref(), plan.previous.as_ref()];
        1 + numbers.into_iter().flatten().map(|place| place.number).max().unwrap_or_default()
    }

    fn put(&mut self, plan: Plan) -> io::Result<()> {
        let bytes = serde_json::to_vec_pretty(&plan).expect("a plan is plain data");
        let beside = self.dir.join("plan.json.new");
        let mut file = File::create(&beside)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&beside, self.dir.join(PLAN))?;
        File::open(&self.dir)?.sync_all()?;
        self.plan = plan;
        Ok(())
    }

    /// A new folder for views on that basis.
    pub(crate) fn prepare(&mut self, basis: String) -> io::Result<PathBuf> {
        let place = Place { number: self.next(), basis };
        let folder = self.folder(&place);
        discard(&folder)?;
        self.put(Plan { prepared: Some(place), ..self.plan.clone() })?;
        Ok(folder)
    }

    /// The views that served before are to serve again: they are prepared, once they have caught up.
    pub(crate) fn bring_back(&mut self) -> io::Result<Option<PathBuf>> {
        let Some(place) = self.plan.previous.clone() else { return Ok(None) };
        let folder = self.folder(&place);
        self.put(Plan { prepared: Some(place), previous: None, ..self.plan.clone() })?;
        Ok(Some(folder))
    }

    /// What was prepared serves. What served, on the basis of that name, is kept; what was kept before it is removed.
    pub(crate) fn take_over(&mut self, served: String) -> io::Result<()> {
        let Some(prepared) = self.plan.prepared.clone() else { return Ok(()) };
        let gone = self.plan.previous.clone();
        let previous = Place { basis: served, ..self.plan.serving.clone() };
        self.put(Plan { serving: prepared, prepared: None, previous: Some(previous) })?;
        gone.map_or(Ok(()), |place| discard(&self.folder(&place)))
    }

    /// A new folder for the views that serve; the one before stays, for the program that can read it.
    pub(crate) fn renew(&mut self) -> io::Result<PathBuf> {
        let place = Place { number: self.next(), basis: String::new() };
        let gone = self.plan.previous.clone();
        let previous = Some(self.plan.serving.clone());
        self.put(Plan { serving: place, previous, prepared: self.plan.prepared.clone() })?;
        if let Some(place) = gone {
            discard(&self.folder(&place))?;
        }
        Ok(self.serving())
    }

    /// A folder that no plan names, for views that are copied from another process; what an earlier copy left there is removed.
    pub(crate) fn aside(&self) -> io::Result<PathBuf> {
        let folder = self.dir.join(self.next().to_string());
        discard(&folder)?;
        Ok(folder)
    }

    /// The views that were put into [`Generations::aside`] serve. Those that did are removed, or kept as the ones before.
    pub(crate) fn install(&mut self, keeps: bool) -> io::Result<()> {
        let (place, before) = (Place { number: self.next(), basis: String::new() }, self.plan.serving.clone());
        let gone = if keeps { self.plan.previous.clone() } else { Some(before.clone()) };
        let previous = if keeps { Some(before) } else { self.plan.previous.clone() };
        self.put(Plan { serving: place, previous, prepared: self.plan.prepared.clone() })?;
        gone.map_or(Ok(()), |place| discard(&self.folder(&place)))
    }

    /// Removes what was prepared.
    pub(crate) fn discard_prepared(&mut self) -> io::Result<()> {
        let Some(place) = self.plan.prepared.clone() else { return Ok(()) };
        self.put(Plan { prepared: None, ..self.plan.clone() })?;
        discard(&self.folder(&place))
    }

    /// Removes what served before.
    pub(crate) fn discard_previous(&mut self) -> io::Result<()> {
        let Some(place) = self.plan.previous.clone() else { return Ok(()) };
        self.put(Plan { previous: None, ..self.plan.clone() })?;
        discard(&self.folder(&place))
    }
}

/// The folders of views in `dir` and what each is for, as the plan has them; changes nothing.
///
/// # Errors
/// The plan cannot be read; the error says what to do.
pub fn folders(dir: &Path) -> io::Result<Vec<(&'static str, PathBuf)>> {
    let plan = Generations::read(dir)?;
    let places =
        [("serving", Some(&plan.serving)), ("prepared", plan.prepared.as_ref()), ("previous", plan.previous.as_ref())];
    Ok(places.into_iter().filter_map(|(what, place)| Some((what, dir.join(place?.number.to_string())))).collect())
}

fn discard(folder: &Path) -> io::Result<()> {
    crate::scratch::discard(folder).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_take_over_from_each_other_and_the_plan_is_kept() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut generations = Generations::open(dir.path()).expect("opens");
        assert_eq!(generations.serving(), dir.path().join("1"));
        let second = generations.prepare("model 2".into()).expect("prepares");
        assert_eq!(second, dir.path().join("2"));
        generations.take_over("model 1".into()).expect("takes over");
        assert_eq!(generations.aside().expect("writable"), dir.path().join("3"), "no plan names it");
        let mut again = Generations::open(dir.path()).expect("opens again");
        assert_eq!((again.serving(), again.previous()), (second.clone(), Some("model 1")));
        assert_eq!(again.bring_back().expect("is there"), Some(dir.path().join("1")));
        again.take_over("model 2".into()).expect("takes over");
        assert_eq!((again.serving(), again.previous()), (dir.path().join("1"), Some("model 2")));
        assert_eq!(again.prepare("model 3".into()).expect("prepares"), dir.path().join("3"));
        again.discard_prepared().expect("is removed");
        again.discard_previous().expect("is removed");
        assert_eq!((again.prepared(), again.previous()), (None, None));
    }

    #[test]
    fn a_copy_serves_once_it_is_installed_and_what_it_replaces_goes_or_stays() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut generations = Generations::open(dir.path()).expect("opens");
        assert_eq!(generations.aside().expect("writable"), dir.path().join("2"));
        assert_eq!(Generations::open(dir.path()).expect("opens").serving(), dir.path().join("1"));
        generations.install(false).expect("writable");
        assert_eq!((generations.serving(), generations.previous()), (dir.path().join("2"), None));
        assert_eq!(generations.aside().expect("writable"), dir.path().join("3"));
        generations.install(true).expect("writable");
        let again = Generations::open(dir.path()).expect("opens again");
        assert_eq!((again.serving(), again.previous()), (dir.path().join("3"), Some("")));
    }
}
