//! Health: insurance cards, encounters, health books and vaccinations. Facilities report on the day itself, but for some
//! vaccinations.

use super::{Plan, RecordType, Stage, Step};
use crate::calendar::{END, START, date, day};

pub(super) fn plan(plan: &mut Plan<'_>) {
    for i in 0..plan.truth.persons.len() as u32 {
        insurance_card(plan, i);
        encounters(plan, i);
        health_book(plan, i);
        vaccinations(plan, i);
    }
}

fn insurance_card(plan: &mut Plan<'_>, i: u32) {
    let p = plan.truth.person(i);
    let mut dice = plan.dice(RecordType::InsuranceCard, i);
    if !dice.per_mille(880) {
        return;
    }
    let opened = if p.birth < START { START + 2 + dice.below(90) as i32 } else { p.birth + 10 + dice.below(50) as i32 };
    if !p.alive(opened) {
        return;
    }
    let mut steps = vec![Step::new(opened, if p.birth < START { START - 1 - opened % 365 } else { opened })];
    let year = day(2026, 1, 1);
    if dice.per_mille(80) && opened < year - 60 && p.alive(year) {
        // Most cards are renewed before the year begins.
        steps.push(Step::new(year - 25 + dice.below(30) as i32, year));
    }
    if dice.per_mille(40) && opened < END - 60 && p.alive(END) {
        // Next year's card is published before it holds.
        steps.push(Step::new(END - dice.below(20) as i32, day(date(END).year + 1, 1, 1)));
    }
    plan.file(&mut dice, RecordType::InsuranceCard, i, 0, &steps);
}

fn encounters(plan: &mut Plan<'_>, i: u32) {
    let p = plan.truth.person(i);
    let mut dice = plan.dice(RecordType::Encounter, i);
    let count = dice.weighted(&[400, 330, 160, 80, 30]) as u8;
    let from = START.max(p.birth + 1);
    for nth in 0..count {
        let at = from + dice.below((END - from).max(1) as u32) as i32;
        if !p.alive(at) {
            continue;
        }
        let mut steps = vec![Step::new(at, at)];
        if dice.per_mille(6) {
            steps.push(Step::new(at + 12 + dice.below(30) as i32, at).stage(Stage::Retract));
        }
        plan.file(&mut dice, RecordType::Encounter, i, nth, &steps);
    }
    if p.death < END - 140 && dice.per_mille(130) {
        // Somebody still uses the card of the dead.
        let at = p.death + 8 + dice.below(120) as i32;
        plan.file(&mut dice, RecordType::Encounter, i, 7, &[Step::new(at, at)]);
    }
}

fn health_book(plan: &mut Plan<'_>, i: u32) {
    let p = plan.truth.person(i);
    let mut dice = plan.dice(RecordType::HealthBook, i);
    let at = START.max(p.birth + 5) + dice.below((END - START - 30) as u32) as i32;
    if dice.per_mille(150) && p.alive(at) {
        plan.file(&mut dice, RecordType::HealthBook, i, 0, &[Step::new(at, at)]);
    }
}

fn vaccinations(plan: &mut Plan<'_>, i: u32) {
    let p = plan.truth.person(i);
    let mut dice = plan.dice(RecordType::Vaccination, i);
    let count = if p.age(END) < 8 { dice.weighted(&[15, 35, 35, 15]) } else { usize::from(dice.per_mille(90)) };
    for nth in 0..count as u8 {
        let from = START.max(p.birth + 3);
        let at = from + dice.below((END - from).max(1) as u32) as i32;
        if p.alive(at) {
            let told = at + if dice.per_mille(120) { 1 + dice.below(3) } else { 0 } as i32;
            plan.file(&mut dice, RecordType::Vaccination, i, nth, &[Step::new(told, at)]);
        }
    }
}
