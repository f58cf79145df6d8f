//! The command lines that the help texts show are taken, and senseless ones are not.

use clap::{Args, Command, FromArgMatches, Parser};

use super::*;

fn parse<T: Args + FromArgMatches>(line: &str) -> Result<T, clap::Error> {
    let command = T::augment_args(Command::new("hub"));
    command.clone().debug_assert();
    T::from_arg_matches(&command.try_get_matches_from(std::iter::once("hub").chain(line.split_whitespace()))?)
}

const PURPOSE: &str = "--procedure 1.001193 --case HS-1";

#[test]
fn the_wired_command_line_is_consistent() {
    use clap::CommandFactory;
    crate::Cli::command().debug_assert();
    let cli = crate::Cli::try_parse_from(["hub", "dev-certs", "--json", "-vv"]).expect("global flags may follow");
    assert!(cli.global.json && cli.global.verbose == 2);
}

#[test]
fn publish_takes_a_file_or_standard_input() {
    let file: publish::PublishArgs = parse("--register civil a.CSV --batch 100 --resume a.done").expect("a usual line");
    assert_eq!((file.input_format(), file.from_stdin(), file.batch), (publish::InputFormat::Csv, false, 100));
    let stdin: publish::PublishArgs = parse("--register civil -").expect("a usual line");
    assert_eq!((stdin.input_format(), stdin.from_stdin()), (publish::InputFormat::Ndjson, true));
    assert!(parse::<publish::PublishArgs>("--register civil - --batch 0").is_err());
    assert!(parse::<publish::PublishArgs>("a.ndjson").is_err(), "a register is mandatory");
}

#[test]
fn get_needs_one_key_fields_and_a_purpose() {
    let line = format!("person --personal-id 012345678901 --fields full_name,birth_date --after 3/17 {PURPOSE}");
    let get: get::GetArgs = parse(&line).expect("a usual line");
    assert_eq!(get.subject.key(), asking::SubjectKey::PersonalId("012345678901".to_owned()));
    assert_eq!((get.fields.len(), get.min_positions), (2, vec![(3, 17)]));
    assert!(parse::<get::GetArgs>(&format!("person --fields full_name {PURPOSE}")).is_err(), "no key");
    assert!(parse::<get::GetArgs>(&format!("person --subject a --old-id b --fields x {PURPOSE}")).is_err(), "two keys");
    assert!(parse::<get::GetArgs>("person --subject a --fields x").is_err(), "no purpose");
    assert!(parse::<get::GetArgs>(&format!("person --subject a {PURPOSE}")).is_err(), "no fields");
}

#[test]
fn check_takes_a_key_per_role() {
    let line = "1.001193 --case HS-1 --role mother=personal:012345678901 --role parcel=cadastral:00004/12/305";
    let check: check::CheckArgs = parse(line).expect("a usual line");
    assert_eq!(check.roles.iter().map(|role| role.role.as_str()).collect::<Vec<_>>(), ["mother", "parcel"]);
    assert!(parse::<check::CheckArgs>("1.001193 --case HS-1 --role mother=012345678901").is_err());
}

#[test]
fn search_goes_by_one_way_of_looking() {
    for line in [
        "person --name Hoa --birth 1990",
        "person --name Hoa --commune 00004",
        "person --old-id 123456789",
        "parcel --commune 00004 --sheet 12 --list 2024-12-01",
    ] {
        parse::<search::SearchArgs>(&format!("{line} {PURPOSE}")).expect(line);
    }
    for line in [
        "person",
        "person --birth 1990",
        "person --name Hoa --old-id 123456789",
        "parcel --sheet 12",
        "person --name Hoa --birth 1990 --commune 00004",
    ] {
        assert!(parse::<search::SearchArgs>(&format!("{line} {PURPOSE}")).is_err(), "{line}");
    }
}

#[test]
fn the_other_commands_take_their_usual_lines() {
    parse::<serve::ServeArgs>("--listen 0.0.0.0:7443 --dev-certs").expect("serve");
    parse::<demo::DemoArgs>("--persons 20000 --seed 7 --keep").expect("demo");
    assert!(parse::<demo::DemoArgs>("--persons 10").is_err());
    parse::<accesses::AccessesArgs>("person --subject a --limit 20 --case A-7").expect("accesses");
    parse::<accesses::AccessesArgs>(&format!("person --subject a {PURPOSE}")).expect("accesses for a procedure");
    assert!(parse::<accesses::AccessesArgs>("person --subject a").is_err(), "why is mandatory");
    let quality: quality::QualityArgs = parse("--register land --by commune").expect("quality");
    assert!(quality.command.is_none());
    let line = "expect --register land --record-type parcel --commune 00004 --objects 5120";
    let expect: quality::QualityArgs = parse(line).expect("quality expect");
    assert!(matches!(expect.command, Some(quality::QualityCommand::Expect(args)) if args.objects == 5120));
    assert!(parse::<quality::QualityArgs>("expect --register land").is_err(), "a number is mandatory");
    parse::<policy::PolicyArgs>("put policy.toml --reason new").expect("policy");
    assert!(parse::<policy::PolicyArgs>("put policy.toml").is_err(), "a reason is mandatory");
    for line in ["list", "show", "show 1.001193", "put procedures.toml --reason new"] {
        parse::<procedures::ProceduresArgs>(line).expect(line);
    }
    parse::<rejected::RejectedArgs>("--register civil --redrive").expect("rejected");
    parse::<status::StatusArgs>("--endpoint https://hub:7443 --as auditor/main").expect("status");
    assert!(parse::<status::StatusArgs>("--cert a.pem").is_err(), "a certificate needs its key");
    parse::<views::ViewsArgs>("verify --store sled").expect("views");
    parse::<units::UnitsArgs>("import a.csv b.csv --list-version 2025-07-01 --reason reform").expect("units");
    for line in ["list", "show civil", "register a.binpb --reason new", "check a.binpb", "export --dir out"] {
        parse::<contracts::ContractsArgs>(line).expect(line);
    }
    for line in ["list", "approve 41 --reason seen", "reject 41 --reason wrong --as operator/ops"] {
        parse::<orders::OrdersArgs>(line).expect(line);
    }
    assert!(parse::<orders::OrdersArgs>("approve 41").is_err(), "a reason is mandatory");
    parse::<bench::BenchArgs>("publish --records 50000 --runs 3").expect("bench");
}

#[test]
fn init_takes_what_differs_and_doctor_and_errors_little() {
    let line = "d --trust-domain hub.example --server-name hub.example --register civil --register tax --portal one-stop --yes";
    let init: init::InitArgs = parse(line).expect("a usual line");
    assert_eq!((init.registers.len(), init.portals.len(), init.yes), (2, 1, true));
    assert!(parse::<init::InitArgs>("--yes").is_err(), "a directory is mandatory");
    assert!(parse::<doctor::DoctorArgs>("--quick").expect("a usual line").quick);
    let errors: errors::ErrorsArgs = parse("log_full").expect("a usual line");
    assert_eq!(errors.word.as_deref(), Some("log_full"));
    assert!(parse::<errors::ErrorsArgs>("log_full --markdown").is_err(), "the page has all of them");
}
