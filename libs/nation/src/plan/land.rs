//! Land: parcels, rights and restrictions; a cleaning campaign after the reform states many of them again.
//!
//! A right or restriction holds from the day of its registration (Land Law).

use super::{Plan, RecordType, Stage, Step};
use crate::calendar::{END, NEVER, REFORM, START};
use crate::truth::{Owners, State};

pub(super) fn plan(plan: &mut Plan<'_>) {
    for n in 0..plan.truth.parcels.len() as u32 {
        let parcel = &plan.truth.parcels[n as usize];
        let mut dice = plan.dice(RecordType::Parcel, n);
        let opened = START + 20 + dice.below(480) as i32;
        let issued = issued(&mut dice);
        let campaign = REFORM + 60 + dice.below(90) as i32;
        let mut steps = vec![Step::new(opened, issued)];
        if parcel.state == State::Usable && dice.per_mille(500) {
            steps.push(Step::new(campaign, campaign));
        }
        plan.file(&mut dice, RecordType::Parcel, n, 0, &steps);
        right(plan, n, opened, issued, campaign);
        restriction(plan, n);
    }
}

fn issued(dice: &mut crate::dice::Dice) -> i32 {
    START - 100 - dice.below(7000) as i32
}

fn right(plan: &mut Plan<'_>, n: u32, opened: i32, issued: i32, campaign: i32) {
    let parcel = &plan.truth.parcels[n as usize];
    let mut dice = plan.dice(RecordType::Right, n);
    let day = opened + dice.below(3) as i32;
    let mut steps = vec![Step::new(day, issued)];
    if parcel.sold != NEVER && parcel.sold > day {
        let told = parcel.sold + 3 + dice.below(25) as i32;
        steps.push(Step::new(told, told).stage(Stage::Ended));
    } else if parcel.state == State::Usable && dice.per_mille(250) {
        steps.push(Step::new(campaign + 1, campaign + 1));
    }
    if dice.per_mille(4) {
        steps.push(Step::new(END - 20, END - 20).stage(Stage::Retract));
    }
    plan.file(&mut dice, RecordType::Right, n, 0, &steps);
}

fn restriction(plan: &mut Plan<'_>, n: u32) {
    let parcel = &plan.truth.parcels[n as usize];
    let mut dice = plan.dice(RecordType::Restriction, n);
    let day = START + 120 + dice.below((END - START - 140) as u32) as i32;
    if !dice.per_mille(120) || parcel.owners == Owners::Organisation {
        return;
    }
    let mut steps = vec![Step::new(day, day)];
    if dice.per_mille(350) {
        let lifted = day + 90 + dice.below(400) as i32;
        steps.push(Step::new(lifted, lifted).stage(Stage::Ended));
    }
    plan.file(&mut dice, RecordType::Restriction, n, 0, &steps);
}
