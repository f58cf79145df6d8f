//! Changes to publish, what was told of them, and whether it still holds.

use contract::Contract;
use serde_json::Value;
use wire::ingest::{BatchResult, Change, outcome};

use crate::client::{batch, change_of, publish};
use crate::hub::{Hub, contract_of, lines};
use crate::kept::Told;

pub const REGISTERS: [&str; 3] = ["civil", "land", "health"];
/// Changes of a register's nation.
pub const STOCK: usize = 2_000;

/// A change that was sent, and what was told of it: where it is, or nothing.
pub struct Published {
    pub register: &'static str,
    pub change: Change,
    pub told: Option<record::Position>,
}

impl Published {
    pub fn told(&self) -> Option<Told> {
        let (record_id, version) = (self.change.record_id.clone(), self.change.version);
        self.told.map(|position| Told { register: self.register, record_id, version, position })
    }
}

pub fn place(position: &wire::ingest::Position) -> record::Position {
    format!("{}/{}/{}", position.stream, position.partition, position.index).parse().expect("a place")
}

/// The places of what was accepted; nothing of what was there before.
pub fn accepted(result: &BatchResult) -> Vec<Option<record::Position>> {
    let told = |outcome: &wire::ingest::Outcome| match &outcome.outcome {
        Some(outcome::Outcome::Accepted(accepted)) => {
            let receipt = accepted.receipt.as_ref().expect("a receipt");
            Some(place(receipt.position.as_ref().expect("a place")))
        }
        Some(outcome::Outcome::Duplicate(_)) => None,
        other => panic!("a sound change is taken: {other:?}"),
    };
    result.outcomes.iter().map(told).collect()
}

/// What is published again has its place, once. A register that is restated answers by its present epoch.
pub async fn publish_again(hub: &Hub, published: &[Published]) {
    for register in REGISTERS {
        let mut client = hub.ingest(&format!("register/{register}")).await;
        let own: Vec<_> = published.iter().filter(|p| p.register == register).collect();
        for chunk in own.chunks(500) {
            let again = batch(register, chunk.iter().map(|p| p.change.clone()).collect());
            let result = publish(&mut client, again).await.expect("the hub takes it");
            for (published, outcome) in chunk.iter().zip(result.outcomes) {
                match (outcome.outcome, published.told) {
                    (Some(outcome::Outcome::Duplicate(duplicate)), Some(told)) if register != "land" => {
                        assert_eq!(duplicate.of.as_ref().map(place), Some(told), "{}", published.change.record_id);
                    }
                    (Some(outcome::Outcome::Duplicate(_)), _) => {}
                    (Some(outcome::Outcome::Accepted(_)), told) if told.is_none() || register == "land" => {}
                    (other, told) => panic!("{} was told {told:?}: {other:?}", published.change.record_id),
                }
            }
        }
    }
}

/// Sound changes of a register, and the personal numbers of the children among them.
pub fn stock(register: &'static str) -> (Vec<Change>, Vec<String>) {
    let contract: Contract = contract_of(register);
    let lines: Vec<Value> = lines(register, STOCK);
    let number = |line: &Value| line["record"]["child"]["personal_id"].as_str().map(str::to_owned);
    let persons = lines.iter().filter_map(number).filter(|id| id.len() == 12).collect();
    (lines.iter().map(|line| change_of(&contract, line)).collect(), persons)
}
