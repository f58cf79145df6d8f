//! Civil status: books of the past that are digitised over two years, and what happens now.
//!
//! What an entry states holds from the day of the registration; the day of the event itself stands in the record.

use super::{Plan, RecordType, Stage, Step};
use crate::calendar::{END, NEVER, START};
use crate::truth::{NONE, REISSUED};

/// Births that stand in the books under two record ids, per mille.
const REGISTERED_TWICE: u32 = 16;

pub(super) fn plan(plan: &mut Plan<'_>) {
    for i in 0..plan.truth.persons.len() as u32 {
        birth(plan, i);
        death(plan, i);
        papers(plan, i);
    }
    for h in 0..plan.truth.households.len() as u32 {
        marriage(plan, h);
    }
}

fn birth(plan: &mut Plan<'_>, i: u32) {
    let p = plan.truth.person(i);
    let mut dice = plan.dice(RecordType::Birth, i);
    let (wait, late, drawn) = (3 + dice.below(40) as i32, dice.per_mille(50), dice.below(1000));
    let digitised = START + 30 + dice.below(900) as i32;
    let age = p.age(START);
    let step = if p.birth >= START {
        let day = p.birth + wait + if late { 100 + dice.below(200) as i32 } else { 0 };
        Step::new(day, day)
    } else if drawn < if age < 45 { 420 } else { 110 } {
        Step::new(digitised, p.birth + wait)
    } else {
        return;
    };
    let mut steps = vec![step];
    if dice.per_mille(8) {
        steps[0] = step.stage(Stage::Slip);
        steps.push(Step::new(step.day + 15 + dice.below(150) as i32, step.effective).replacing());
    }
    plan.file(&mut dice, RecordType::Birth, i, 0, &steps);
    if dice.per_mille(REGISTERED_TWICE) {
        // An old entry is digitised twice, a new birth is registered at a second office; half of these are found and taken back.
        let again = step.day + 5 + dice.below(200) as i32;
        let holds = if step.effective < START { step.effective } else { again };
        let mut copy = vec![Step::new(again, holds)];
        if dice.per_mille(500) {
            copy.push(Step::new(again + 10 + dice.below(60) as i32, holds).stage(Stage::Retract));
        }
        plan.file(&mut dice, RecordType::Birth, i, 1, &copy);
    }
}

fn death(plan: &mut Plan<'_>, i: u32) {
    let p = plan.truth.person(i);
    let mut dice = plan.dice(RecordType::Death, i);
    if p.death > END || !dice.per_mille(940) {
        return;
    }
    let day = p.death + if dice.per_mille(90) { 60 + dice.below(140) } else { 1 + dice.below(25) } as i32;
    plan.file(&mut dice, RecordType::Death, i, 0, &[Step::new(day, day)]);
}

/// Certificates of marital status, recognitions of a parent, and changes of a personal number.
fn papers(plan: &mut Plan<'_>, i: u32) {
    let truth = plan.truth;
    let p = truth.person(i);
    let day = |dice: &mut crate::dice::Dice| START + 20 + dice.below((END - START - 30) as u32) as i32;
    let mut dice = plan.dice(RecordType::MaritalStatus, i);
    let at = day(&mut dice);
    if dice.per_mille(28) && p.alive(at) && p.age(at) >= 20 {
        plan.file(&mut dice, RecordType::MaritalStatus, i, 0, &[Step::new(at, at)]);
    }
    let mut dice = plan.dice(RecordType::Recognition, i);
    let at = day(&mut dice);
    if p.father == NONE && p.mother != NONE && dice.per_mille(90) && p.alive(at) && p.age(at) < 18 {
        plan.file(&mut dice, RecordType::Recognition, i, 0, &[Step::new(at, at)]);
    }
    let mut dice = plan.dice(RecordType::CivilChange, i);
    let at = if p.is(REISSUED) { truth.reissued_on(i) } else { day(&mut dice) };
    if (p.is(REISSUED) || dice.per_mille(4)) && p.alive(at) {
        plan.file(&mut dice, RecordType::CivilChange, i, 0, &[Step::new(at, at)]);
    }
}

fn marriage(plan: &mut Plan<'_>, h: u32) {
    let household = &plan.truth.households[h as usize];
    if household.married == NEVER {
        return;
    }
    let mut dice = plan.dice(RecordType::Marriage, h);
    let now = household.married >= START;
    let digitised = START + 60 + dice.below(800) as i32;
    if !dice.per_mille(if now { 960 } else { 350 }) {
        return;
    }
    let day = if now { household.married } else { digitised };
    plan.file(&mut dice, RecordType::Marriage, h, 0, &[Step::new(day, household.married)]);
}
