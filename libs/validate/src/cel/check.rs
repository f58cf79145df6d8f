//! Types of calls: what a function takes and gives.

use super::func::{Func, TimePart};
use super::ty::Ty;

/// The type of a call, or `None` when the function does not take these arguments.
pub(super) fn call(func: &Func, args: &[Ty]) -> Option<Ty> {
    let takes = |wanted: &[Ty]| wanted.len() == args.len() && wanted.iter().zip(args).all(|(want, arg)| arg.fits(want));
    let gives = |ok: bool, ty: Ty| ok.then_some(ty);
    let any_list = || Ty::list_of(Ty::Dyn);
    match func {
        Func::Add | Func::Sub | Func::Mul | Func::Div | Func::Mod => arithmetic(func, args),
        Func::Neg => overload(args, &[(&[Ty::Int], Ty::Int), (&[Ty::Double], Ty::Double)]),
        Func::Eq | Func::Ne => gives(args.len() == 2 && args[0].fits(&args[1]), Ty::Bool),
        Func::Lt | Func::Le | Func::Gt | Func::Ge => gives(args.len() == 2 && is_ordered(&args[0], &args[1]), Ty::Bool),
        Func::In => match args {
            [item, Ty::List(of)] => gives(item.fits(of), Ty::Bool),
            [item, Ty::Map(key, _)] => gives(item.fits(key), Ty::Bool),
            [_, Ty::Dyn] => Some(Ty::Bool),
            _ => None,
        },
        Func::Size => {
            let sized = matches!(args, [Ty::Str | Ty::Bytes | Ty::List(_) | Ty::Map(..) | Ty::Dyn]);
            gives(sized, Ty::Int)
        }
        Func::Contains | Func::StartsWith | Func::EndsWith => {
            gives(takes(&[Ty::Str, Ty::Str]) || takes(&[Ty::Bytes, Ty::Bytes]), Ty::Bool)
        }
        Func::Matches => gives(takes(&[Ty::Str, Ty::Str]), Ty::Bool),
        Func::Unique => gives(takes(&[any_list()]), Ty::Bool),
        Func::Format => gives(takes(&[Ty::Str, any_list()]), Ty::Str),
        Func::IsEmail | Func::IsHostname | Func::IsUri | Func::IsUriRef | Func::MatchesConst(_) => {
            gives(takes(&[Ty::Str]), Ty::Bool)
        }
        Func::IsHostAndPort => gives(takes(&[Ty::Str, Ty::Bool]), Ty::Bool),
        Func::IsIp => gives(takes(&[Ty::Str]) || takes(&[Ty::Str, Ty::Int]), Ty::Bool),
        Func::IsIpPrefix => {
            let ok = takes(&[Ty::Str])
                || takes(&[Ty::Str, Ty::Int])
                || takes(&[Ty::Str, Ty::Bool])
                || takes(&[Ty::Str, Ty::Int, Ty::Bool]);
            gives(ok, Ty::Bool)
        }
        Func::IsNan => gives(takes(&[Ty::Double]), Ty::Bool),
        Func::IsInf => gives(takes(&[Ty::Double]) || takes(&[Ty::Double, Ty::Int]), Ty::Bool),
        Func::ToDyn => gives(args.len() == 1, Ty::Dyn),
        Func::TypeOf => gives(args.len() == 1, Ty::Type),
        Func::Time(part) => {
            let instant = takes(&[Ty::Instant]) || takes(&[Ty::Instant, Ty::Str]);
            let span = matches!(part, TimePart::Hours | TimePart::Minutes | TimePart::Seconds | TimePart::Milliseconds)
                && takes(&[Ty::Span]);
            gives(instant || span, Ty::Int)
        }
        Func::ToInt => convert(args, Ty::Int, &[Ty::Uint, Ty::Double, Ty::Str, Ty::Instant]),
        Func::ToUint => convert(args, Ty::Uint, &[Ty::Int, Ty::Double, Ty::Str]),
        Func::ToDouble => convert(args, Ty::Double, &[Ty::Int, Ty::Uint, Ty::Str]),
        Func::ToStr => {
            let from = [Ty::Int, Ty::Uint, Ty::Double, Ty::Bool, Ty::Bytes, Ty::Span, Ty::Instant];
            convert(args, Ty::Str, &from)
        }
        Func::ToBytes => convert(args, Ty::Bytes, &[Ty::Str]),
        Func::ToBool => convert(args, Ty::Bool, &[Ty::Str]),
        Func::ToSpan => convert(args, Ty::Span, &[Ty::Str]),
        Func::ToInstant => convert(args, Ty::Instant, &[Ty::Str, Ty::Int]),
    }
}

fn convert(args: &[Ty], to: Ty, from: &[Ty]) -> Option<Ty> {
    match args {
        [arg] if arg.fits(&to) || from.iter().any(|from| arg.fits(from)) => Some(to),
        _ => None,
    }
}

fn is_ordered(a: &Ty, b: &Ty) -> bool {
    let numeric = |ty: &Ty| matches!(ty, Ty::Int | Ty::Uint | Ty::Double | Ty::Dyn);
    let plain = |ty: &Ty| matches!(ty, Ty::Bool | Ty::Str | Ty::Bytes | Ty::Span | Ty::Instant | Ty::Dyn);
    (numeric(a) && numeric(b)) || (plain(a) && plain(b) && a.fits(b)) || a.is_dyn() && b.is_dyn()
}

fn arithmetic(func: &Func, args: &[Ty]) -> Option<Ty> {
    use Ty::{Bytes, Double, Instant, Int, Span, Str, Uint};
    if let (Func::Add, [Ty::List(a), Ty::List(b)]) = (func, args) {
        return Some(if a == b { args[0].clone() } else { Ty::list_of(Ty::Dyn) });
    }
    if matches!(func, Func::Add) && args.iter().any(|arg| matches!(arg, Ty::List(_))) {
        return args.iter().all(|arg| matches!(arg, Ty::List(_) | Ty::Dyn)).then_some(Ty::Dyn);
    }
    let whole: &[(&[Ty], Ty)] = &[(&[Int, Int], Int), (&[Uint, Uint], Uint)];
    let real: &[(&[Ty], Ty)] = &[(&[Double, Double], Double)];
    let sum: &[(&[Ty], Ty)] = &[
        (&[Str, Str], Str),
        (&[Bytes, Bytes], Bytes),
        (&[Instant, Span], Instant),
        (&[Span, Instant], Instant),
        (&[Span, Span], Span),
    ];
    let difference: &[(&[Ty], Ty)] = &[(&[Instant, Span], Instant), (&[Instant, Instant], Span), (&[Span, Span], Span)];
    let table = match func {
        Func::Mod => whole.to_vec(),
        Func::Add => [whole, real, sum].concat(),
        Func::Sub => [whole, real, difference].concat(),
        _ => [whole, real].concat(),
    };
    overload(args, &table)
}

/// The result of the overloads that take these arguments, `dyn` when they differ.
fn overload(args: &[Ty], table: &[(&[Ty], Ty)]) -> Option<Ty> {
    let mut results = table
        .iter()
        .filter(|(wanted, _)| wanted.len() == args.len() && wanted.iter().zip(args).all(|(want, arg)| arg.fits(want)))
        .map(|(_, result)| result);
    let first = results.next()?;
    Some(if results.all(|other| other == first) { first.clone() } else { Ty::Dyn })
}
