//! kill -9 at any moment under mixed load: nothing that was acknowledged is lost or doubled, no answer left without its access entry, and
//! live = replayed after every kill.
//!
//! A round is a hub of its own that is killed again and again while registers publish, a portal asks, and an operator restates a register or has
//! the views rebuilt; some kills fall into a start, and some ends are orderly ones.

use std::process::Stdio;
use std::time::Duration;

use wire::admin::{AbortRedoRequest, CommitRedoRequest, OpenRedoRequest, PrepareViewsRequest};
use wire::ingest::{Batch, Change, ChangeKey, ChangeState, GetChangeStatusRequest};
use wire::query::subject_key::Key;

use crate::client::{Ingest, Query, ask, batch, publish};
use crate::hub::{self, Hub, configured};
use crate::kept::{self, Answer, Told};
use crate::load::{Published, REGISTERS, STOCK, accepted, place, publish_again, stock};
use crate::rounds::{Chance, Rounds, figure};

/// Changes of a batch.
const BATCH: usize = 10;
/// Between two batches of one register, so that the load is that of a day and the log stays short.
const PAUSE: Duration = Duration::from_millis(15);
/// Kills of one hub.
const KILLS: u64 = 20;
/// Longest life between a start and its kill.
const LIFE_MS: u64 = 1_200;

/// What a hub has promised so far, and what is done to it.
struct Campaign {
    dir: tempfile::TempDir,
    chance: Chance,
    stock: Vec<Vec<Change>>,
    persons: Vec<String>,
    sent: Vec<Published>,
    restated: Vec<Told>,
    answers: Vec<Answer>,
    kills: u64,
    commits: u64,
    /// The epoch that is being stated, as far as anybody was told.
    epoch: Option<u32>,
    /// Of the last life.
    last: std::ops::Range<usize>,
}

/// Publishes batch after batch until the hub is gone, and keeps what it was told.
async fn publish_until_gone(mut client: Ingest, register: &'static str, changes: Vec<Change>) -> Vec<Published> {
    let mut out = Vec::new();
    for chunk in changes.chunks(BATCH) {
        let answer = publish(&mut client, batch(register, chunk.to_vec())).await;
        let told = answer.as_ref().map(accepted).unwrap_or_default();
        out.extend(chunk.iter().enumerate().map(|(at, change)| Published {
            register,
            change: change.clone(),
            told: told.get(at).copied().flatten(),
        }));
        if answer.is_err() {
            return out;
        }
        tokio::time::sleep(PAUSE).await;
    }
    out
}

async fn ask_until_gone(mut portal: Query, persons: Vec<String>, mut chance: Chance) -> Vec<Answer> {
    let mut out = Vec::new();
    loop {
        let key = Key::PersonalId(chance.pick(&persons).clone());
        match portal.get_subject(ask(key, &["full_name"])).await {
            Ok(answer) => out.push(kept::answer(answer.get_ref().basis.as_ref().expect("a basis"))),
            Err(_gone) => return out,
        }
    }
}

/// What the operator came to.
#[derive(Default)]
struct Redo {
    epoch: Option<u32>,
    restated: Vec<Told>,
    commits: u64,
}

/// Restates the land register, step by step, until the hub is gone; goes on with the epoch that was open.
async fn redo_until_gone(hub: &Hub, epoch: Option<u32>, changes: Vec<Change>) -> impl Future<Output = Redo> + use<> {
    let (mut admin, mut land) = (hub.admin().await, hub.ingest("register/land").await);
    let (register, reason) = ("land".to_owned(), "a test of kills".to_owned());
    async move {
        let mut redo = Redo { epoch, ..Redo::default() };
        loop {
            let open = OpenRedoRequest { register: register.clone(), reason: reason.clone() };
            match admin.open_redo(open).await {
                Ok(opened) => redo.epoch = Some(opened.into_inner().epoch),
                Err(status) if status.code() != tonic::Code::FailedPrecondition => return redo,
                Err(_open_already) => {}
            }
            let Some(epoch) = redo.epoch else {
                // The answer to its opening was lost.
                let abort = AbortRedoRequest { register: register.clone(), reason: reason.clone() };
                if admin.abort_redo(abort).await.is_err() {
                    return redo;
                }
                continue;
            };
            for chunk in changes.chunks(BATCH * 10) {
                let restated = Batch { register_epoch: epoch, ..batch("land", chunk.to_vec()) };
                let Ok(result) = publish(&mut land, restated).await else { return redo };
                redo.restated.extend(chunk.iter().zip(accepted(&result)).filter_map(|(change, told)| {
                    let published = Published { register: "land", change: change.clone(), told };
                    published.told()
                }));
            }
            let prepare =
                PrepareViewsRequest { restated: vec![register.clone()], share: 100, ..PrepareViewsRequest::default() };
            let Ok(preparing) = admin.prepare_views(prepare).await else { return redo };
            let mut preparing = preparing.into_inner();
            while let Ok(Some(_progress)) = preparing.message().await {}
            let commit = CommitRedoRequest {
                register: register.clone(),
                reason: reason.clone(),
                confirm: true,
                ..CommitRedoRequest::default()
            };
            if admin.commit_redo(commit).await.is_err() {
                return redo;
            }
            redo.commits += 1;
            redo.epoch = None;
        }
    }
}

async fn assert_applied(hub: &Hub, published: &[Published]) {
    for register in ["civil", "health"] {
        let mut client = hub.ingest(&format!("register/{register}")).await;
        let own: Vec<_> = published.iter().filter(|p| p.register == register).collect();
        for chunk in own.chunks(500) {
            let key = |p: &&Published| ChangeKey {
                register: register.into(),
                record_id: p.change.record_id.clone(),
                version: p.change.version,
            };
            let request = GetChangeStatusRequest { keys: chunk.iter().map(key).collect() };
            let statuses = client.get_change_status(request).await.expect("answered").into_inner().statuses;
            for (published, status) in chunk.iter().zip(statuses) {
                assert_eq!(status.state(), ChangeState::Applied, "{status:?}");
                assert_eq!((status.duplicates, status.conflicts), (0, 0), "{status:?}");
                let at = status.position.as_ref().map(place);
                assert!(published.told.is_none() || published.told == at, "{status:?}");
            }
        }
    }
}

impl Campaign {
    fn new(chance: Chance) -> Self {
        let (stock, persons): (Vec<_>, Vec<_>) = REGISTERS.into_iter().map(stock).unzip();
        let persons = persons.into_iter().flatten().collect();
        Self {
            dir: configured(),
            chance,
            stock,
            persons,
            sent: Vec::new(),
            restated: Vec::new(),
            answers: Vec::new(),
            kills: 0,
            commits: 0,
            epoch: None,
            last: 0..0,
        }
    }

    /// Changes that nobody has sent yet.
    fn fresh(&mut self, register: usize) -> Vec<Change> {
        let (from, life) = (self.chance.below(STOCK as u64) as usize, self.kills);
        let changes = self.stock[register].iter().cycle().skip(from).take(STOCK);
        changes.map(|c| Change { record_id: format!("{}-{life}", c.record_id), ..c.clone() }).collect()
    }

    /// Starts it, perhaps killing it a few times on the way, and checks that live = replayed.
    async fn start(&mut self) -> Hub {
        while self.kills > 0 && self.chance.one_in(4) {
            let mut child = hub::command(self.dir.path(), &["serve", "--config", "hub.toml", "--dev-certs"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .stdin(Stdio::null())
                .spawn()
                .expect("the program starts");
            tokio::time::sleep(Duration::from_millis(self.chance.below(400))).await;
            child.kill().expect("a child");
            child.wait().expect("a child");
            self.kills += 1;
        }
        let hub = Hub::start(self.dir.path());
        hub.folded();
        let verified = hub.json(&["views", "verify"]);
        assert_eq!(verified["equal"], true, "after {} kills: {verified}", self.kills);
        hub
    }

    /// One life of the hub, from its start to its end in the middle of everything.
    async fn live(&mut self) {
        let hub = self.start().await;
        publish_again(&hub, &self.sent[self.last.clone()]).await;
        let mut publishing = Vec::new();
        for (at, register) in REGISTERS.into_iter().enumerate() {
            let client = hub.ingest(&format!("register/{register}")).await;
            publishing.push(tokio::spawn(publish_until_gone(client, register, self.fresh(at))));
        }
        let portal = hub.query("portal/national").await;
        let asking = tokio::spawn(ask_until_gone(portal, self.persons.clone(), self.chance.clone()));
        let restated = self.sent.iter().filter(|p| p.register == "land").take(STOCK).map(|p| p.change.clone());
        let redoing = tokio::spawn(redo_until_gone(&hub, self.epoch, restated.collect()).await);
        let rebuilding = self.chance.one_in(4).then(|| rebuild(&hub));

        tokio::time::sleep(Duration::from_micros(self.chance.below(LIFE_MS * 1_000))).await;
        let orderly = self.chance.one_in(8);
        hub.signal(if orderly { "-TERM" } else { "-KILL" });
        self.kills += u64::from(!orderly);
        let begun = self.sent.len();
        for task in publishing {
            self.sent.extend(task.await.expect("no panic"));
        }
        self.last = begun..self.sent.len();
        self.answers.extend(asking.await.expect("no panic"));
        let redo = redoing.await.expect("no panic");
        (self.epoch, self.commits) = (redo.epoch, self.commits + redo.commits);
        self.restated.extend(redo.restated);
        if orderly {
            hub.ended();
        } else {
            drop(hub);
        }
        if let Some(mut rebuilding) = rebuilding {
            rebuilding.wait().expect("a child");
        }
    }

    async fn end(mut self) -> [u64; 4] {
        let hub = self.start().await;
        publish_again(&hub, &self.sent).await;
        hub.folded();
        assert_applied(&hub, &self.sent).await;
        assert_eq!(hub.json(&["views", "verify"])["equal"], true);
        assert_eq!(hub.stop().code(), Some(0));
        let told: Vec<Told> = self.sent.iter().filter_map(Published::told).chain(self.restated).collect();
        let broken = kept::broken_promises(&self.dir.path().join("d"), &told, &self.answers);
        assert!(broken.is_empty(), "{} promises broken, such as: {}", broken.len(), broken[0]);
        [self.kills, told.len() as u64, self.answers.len() as u64, self.commits]
    }
}

fn rebuild(hub: &Hub) -> std::process::Child {
    let rebuild = ["views", "rebuild", "--share", "100", "--reason", "a test of kills", "--config", "hub.toml"];
    let mut command = hub::command(&hub.dir, &rebuild);
    command.args(["--endpoint", &hub.endpoint]).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("the program starts")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_or_doubled_by_kill_9_under_mixed_load() {
    let mut sums = [0; 4];
    for chance in Rounds::new("kill", 1) {
        let mut campaign = Campaign::new(chance);
        while campaign.kills < KILLS {
            campaign.live().await;
        }
        let found = campaign.end().await;
        sums.iter_mut().zip(found).for_each(|(sum, found)| *sum += found);
        let [kills, acknowledged, answers, redos] = sums;
        assert!(acknowledged > 0 && answers > 0, "there was load: {sums:?}");
        for (name, value) in [("kills", kills), ("acknowledged", acknowledged), ("answers", answers), ("redos", redos)]
        {
            figure(&format!("kill.{name}"), value);
        }
    }
}
