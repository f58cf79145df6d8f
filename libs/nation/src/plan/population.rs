//! Population database: who lives where, households, identity cards.
//!
//! A registration holds from its own day. Some tell of a move before it, and some registrations are dated back later.

use super::{Plan, RecordType, Stage, Step};
use crate::calendar::{END, NEVER, START};
use crate::dice::Purpose;
use crate::truth::{NONE, Truth};

pub(super) fn plan(plan: &mut Plan<'_>) {
    for i in 0..plan.truth.persons.len() as u32 {
        if !is_unentered(plan.truth, plan.truth.person(i).household) {
            residence(plan, i);
            identity_card(plan, i);
        }
    }
    for h in 0..plan.truth.households.len() as u32 {
        if !is_unentered(plan.truth, h) {
            household(plan, h);
        }
    }
}

/// Whether nobody ever entered the household and its members in the population database.
pub(crate) fn is_unentered(truth: &Truth, household: u32) -> bool {
    truth.chance.stream(Purpose::Unentered, u64::from(household), 0).per_mille(8)
}

fn residence(plan: &mut Plan<'_>, i: u32) {
    let truth = plan.truth;
    let (p, home) = (truth.person(i), truth.household_of(i));
    let mut dice = plan.dice(RecordType::Residence, i);
    let (day, effective) = if p.birth < START {
        (START + 1 + dice.below(75) as i32, p.birth.max(START - dice.below(4000) as i32))
    } else {
        let day = p.birth + 5 + dice.below(30) as i32;
        (day, day)
    };
    let mut steps = vec![Step::new(day, effective)];
    if dice.per_mille(12) {
        steps[0] = steps[0].stage(Stage::Slip);
        steps.push(Step::new(day + 20 + dice.below(200) as i32, effective).replacing());
    }
    let moved = home.moved != NEVER && home.moved > day && p.alive(home.moved);
    if moved {
        // Some tell before they move, most after.
        let told = home.moved + dice.between(-6, 20);
        steps.push(Step::new(told, told.max(home.moved)));
        if dice.per_mille(60) {
            steps.push(Step::new(told + 40, home.moved - 25));
        }
    }
    if home.married != NEVER && home.married > day && i == home.first + 1 {
        let told = home.married + 3 + dice.below(40) as i32;
        steps.push(Step::new(told, told));
    }
    if truth.reissued_on(i) > day && p.alive(truth.reissued_on(i) + 30) {
        steps.push(Step::new(truth.reissued_on(i), truth.reissued_on(i)));
    }
    if p.death <= END && dice.per_mille(860) {
        let told = p.death + 2 + dice.below(20) as i32;
        steps.push(Step::new(told, told).stage(Stage::Ended));
    }
    steps.sort_by_key(|s| s.day);
    steps.retain(|s| s.stage == Stage::Ended || s.day < p.death);
    plan.file(&mut dice, RecordType::Residence, i, 0, &steps);
}

fn identity_card(plan: &mut Plan<'_>, i: u32) {
    let p = plan.truth.person(i);
    let mut dice = plan.dice(RecordType::IdentityCard, i);
    let adult = p.birth + 15 * 365;
    let drawn = dice.below(1000);
    let (later, old) = (dice.below((END - START - 30) as u32) as i32, dice.below(2400) as i32);
    let step = match drawn {
        0..400 if adult < START - 2500 => Step::new(START + 5 + dice.below(100) as i32, START - 60 - old),
        400..560 if adult < START + later => Step::new(START + later, START + later),
        _ => return,
    };
    if p.alive(step.day) {
        plan.file(&mut dice, RecordType::IdentityCard, i, 0, &[step]);
    }
}

fn household(plan: &mut Plan<'_>, h: u32) {
    let truth = plan.truth;
    let household = &truth.households[h as usize];
    let mut dice = plan.dice(RecordType::Household, h);
    let new = household.married != NEVER && household.married >= START;
    let opened = if new { household.married + 10 + dice.below(30) as i32 } else { START + 3 + dice.below(80) as i32 };
    let told = |day: i32| Step::new(day, day);
    let mut steps = vec![if new { told(opened) } else { Step::new(opened, START - 1) }];
    if household.moved != NEVER && household.moved > opened {
        steps.push(told(household.moved + 4 + dice.below(10) as i32));
    }
    for i in truth.members(household) {
        let p = truth.person(i);
        if p.birth > opened && p.mother != NONE && dice.per_mille(700) {
            steps.push(told(p.birth + 30 + dice.below(30) as i32));
        }
        if p.death <= END && p.death > opened && dice.per_mille(600) {
            steps.push(told(p.death + 20 + dice.below(40) as i32));
        }
    }
    steps.sort_by_key(|s| s.day);
    steps.retain(|s| truth.members(household).any(|i| truth.person(i).alive(s.day)));
    plan.file(&mut dice, RecordType::Household, h, 0, &steps);
}
