//! What the demo tells: one JSON object, or a page of text.

use serde_json::{Value, json};
use views::fold::Totals;
use wire::admin::Verification;
use wire::query::ItemState;

use super::proof::Proof;
use super::publish::Published;
use super::show::Shown;
use super::truth::Links;
use crate::commands::{check, get, quality};
use crate::output::{Output, Table};

const RULES_SHOWN: usize = 5;

/// Everything that was seen.
pub(super) struct Report {
    pub(super) persons: u32,
    pub(super) published: Published,
    pub(super) publish_per_s: f64,
    pub(super) fold_per_s: f64,
    pub(super) replay_per_s: f64,
    pub(super) totals: Totals,
    pub(super) links: Links,
    /// Share of the true pairs between registers that share no identifier.
    pub(super) no_common_id: f64,
    pub(super) shown: Shown,
    pub(super) verification: Verification,
    /// Of one answer; absent when the nation has nobody to ask for.
    pub(super) proof: Option<Proof>,
}

impl Report {
    /// Whether the hub kept its word: nothing lost at the door, live equals replayed, and the proof of an answer holds.
    pub(super) fn passed(&self) -> bool {
        let p = &self.published;
        let told = p.accepted + p.rejected + p.duplicate + p.conflict + p.unauthorised;
        self.verification.equal && told == p.published && self.proof.as_ref().is_none_or(Proof::holds)
    }

    /// The object of `--json`.
    pub(super) fn json(&self) -> Value {
        let p = &self.published;
        json!({
            "persons_true": self.persons,
            "changes_published": p.published,
            "changes_accepted": p.accepted,
            "changes_rejected": p.rejected,
            "changes_duplicate": p.duplicate,
            "changes_conflict": p.conflict,
            "changes_unauthorised": p.unauthorised,
            "changes_with_findings": p.with_findings,
            "refused_by": p.refused_by,
            "subjects": self.totals.persons + self.totals.parcels,
            "subjects_persons": self.totals.persons,
            "subjects_parcels": self.totals.parcels,
            "records": self.totals.records,
            "mentions": self.totals.mentions,
            "id_conflicts": self.totals.id_conflicts,
            "link_precision": self.links.precision(),
            "link_recall": self.links.recall(),
            "true_pairs": self.links.real,
            "true_pairs_without_common_id": self.no_common_id,
            "publish_per_s": self.publish_per_s,
            "fold_per_s": self.fold_per_s,
            "replay_per_s": self.replay_per_s,
            "live_digest": self.verification.live_digest,
            "replay_digest": self.verification.replay_digest,
            "refused_queries": self.shown.refused.len(),
            "access_records": self.shown.accesses.len(),
            "accesses": self.shown.accesses,
            "procedure": self.procedure(),
            "quality": self.quality(),
            "proof": self.proof.as_ref().map(Proof::json),
        })
    }

    fn procedure(&self) -> Value {
        let Some(procedure) = &self.shown.procedure else { return Value::Null };
        let items: Vec<Value> = procedure
            .items
            .iter()
            .map(|i| {
                json!({
                    "item": i.item, "role": i.role, "state": state(i.state()), "register": i.register,
                    "owner": i.owner, "what_to_do": i.what_to_do,
                })
            })
            .collect();
        json!({ "code": procedure.procedure, "title": procedure.title, "complete": procedure.complete, "items": items })
    }

    fn quality(&self) -> Value {
        let rows = self.shown.quality.rows.iter().map(|q| {
            let measures = json!({
                "correct": q.correct, "sufficient": q.sufficient, "clean": q.clean, "alive": q.alive, "records": q.records,
            });
            (q.register.clone(), measures)
        });
        Value::Object(rows.collect())
    }

    /// The page.
    pub(super) fn text(&self, output: Output) -> String {
        let mut text = String::new();
        let mut part = |heading: &str, body: String| {
            text.push_str(&format!("\n{}\n{}", output.bold(heading), body));
            if !text.ends_with('\n') {
                text.push('\n');
            }
        };
        part("Published, by four registers over mutual TLS", self.doors());
        part("Linked", self.linked());
        part("Quality", self.qualities(output));
        if let Some(subject) = &self.shown.subject {
            part("One person, with the source of each value", get::told(subject, output));
        }
        if let Some(subject) = &self.shown.disputed {
            part("A person about whom registers disagree", get::told(subject, output));
        }
        if let Some(procedure) = &self.shown.procedure {
            part("A procedure with something missing", check::told(procedure, output));
        }
        part("A refused query: the national portal asks for the ethnicity of a bride", self.shown.refused.join("\n"));
        part("What was written down of these queries", self.accesses());
        part("The live views and a replay of the log", self.replayed(output));
        if let Some(proof) = &self.proof {
            part(
                "The first answer, proven to a stranger who has a bundle and the log's public key",
                proof.text(output),
            );
        }
        text
    }

    fn doors(&self) -> String {
        let p = &self.published;
        let mut table =
            Table::new(["published", "accepted", "with findings", "rejected", "duplicate", "conflict", "per second"]);
        let counts = [p.published, p.accepted, p.with_findings, p.rejected, p.duplicate, p.conflict];
        table.row(counts.iter().map(u64::to_string).chain([format!("{:.0}", self.publish_per_s)]));
        let mut rules: Vec<(&String, &u64)> = p.refused_by.iter().collect();
        rules.sort_by_key(|(rule, n)| (std::cmp::Reverse(**n), *rule));
        let mut refused = Table::new(["rejected by rule and field", "changes"]);
        rules.iter().take(RULES_SHOWN).for_each(|(rule, n)| refused.row([(*rule).clone(), n.to_string()]));
        table.text() + &refused.text()
    }

    fn linked(&self) -> String {
        let t = &self.totals;
        let mut table = Table::new(["records", "mentions", "persons", "parcels", "per second"]);
        let counts = [t.records, t.mentions, t.persons, t.parcels];
        table.row(counts.iter().map(u64::to_string).chain([format!("{:.0}", self.fold_per_s)]));
        format!(
            "{}the nation's {} persons, and parents who live elsewhere; {} pairs bear one number under another name and birth date\n\
             precision {:.5}, recall {:.5} over {} true pairs of mentions; {:.0}% of the true pairs between registers share no identifier\n",
            table.text(),
            self.persons,
            t.id_conflicts,
            self.links.precision(),
            self.links.recall(),
            self.links.real,
            self.no_common_id * 100.0,
        )
    }

    fn qualities(&self, output: Output) -> String {
        quality::told(&self.shown.quality, &Default::default(), output)
            + "the land offices of one province publish once a week, which alive tells; surplus is what is there twice\n"
    }

    fn accesses(&self) -> String {
        let mut table = Table::new(["entry", "action", "caller", "procedure", "case", "records", "decision"]);
        for a in &self.shown.accesses {
            let caller =
                a.caller.rsplit_once("/portal/").map_or(a.caller.clone(), |(_, name)| format!("portal/{name}"));
            let cells = [&a.position, a.action, &caller, &a.procedure, &a.case].map(str::to_owned);
            table.row(cells.into_iter().chain([a.records.to_string(), a.decision.clone()]));
        }
        table.text()
    }

    fn replayed(&self, output: Output) -> String {
        let v = &self.verification;
        let verdict = if v.equal { output.good("equal") } else { output.bad("DIFFERENT") };
        format!(
            "live    {}\nreplay  {}\n{verdict}: {} entries folded from scratch in {:.1} s ({:.0} per second)\n",
            v.live_digest, v.replay_digest, v.entries, v.seconds, self.replay_per_s
        )
    }
}

fn state(state: ItemState) -> &'static str {
    match state {
        ItemState::Unspecified => "unknown",
        ItemState::Available => "available",
        ItemState::Missing => "missing",
        ItemState::Stale => "stale",
        ItemState::Disputed => "disputed",
        ItemState::OnPaperOnly => "on_paper_only",
        ItemState::NotConnected => "not_connected",
        ItemState::Ambiguous => "ambiguous",
        ItemState::NotNeeded => "not_needed",
    }
}
