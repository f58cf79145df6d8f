//! What to do about an item that is not available, in both languages.

use crate::check::{ItemState, Reason};
use crate::profile::{Item, Text};

const DAY_US: i64 = 86_400_000_000;

/// The text for a state: the item's own where the owner must act, a general one where the hub knows better.
pub(crate) fn what_to_do(item: &Item, state: ItemState, reason: Reason) -> Text {
    let title = item.register_title();
    match state {
        ItemState::Available | ItemState::NotNeeded => Text::default(),
        ItemState::Missing => missing(item, reason),
        ItemState::Stale => {
            let days = item.max_age_us().unwrap_or(0) / DAY_US;
            text(
                format!("Dữ liệu cũ hơn {days} ngày: đề nghị {} xác nhận lại.", title.vi),
                format!("Older than {days} days: ask the {} to confirm it.", title.en),
            )
        }
        ItemState::Disputed => text(
            format!("Các cơ sở dữ liệu không thống nhất: đề nghị {} xác minh.", title.vi),
            format!("Registers disagree: ask the {} to verify.", title.en),
        ),
        ItemState::OnPaperOnly => paper(item, "Chỉ có bản giấy", "On paper only"),
        ItemState::NotConnected => {
            paper(item, &format!("{} chưa kết nối", title.vi), &format!("The {} is not connected", title.en))
        }
        ItemState::Ambiguous => text(
            "Khóa tra cứu trùng nhiều đối tượng: tra cứu lại bằng mã chủ thể.".to_owned(),
            "The key names several subjects: ask again with a subject id.".to_owned(),
        ),
    }
}

fn missing(item: &Item, reason: Reason) -> Text {
    match reason {
        Reason::RoleNotGiven => text(
            format!("Yêu cầu chưa có khóa của bên \"{}\": gửi lại kèm khóa.", item.role()),
            format!("The request has no key for role {}: send it again with one.", item.role()),
        ),
        Reason::RoleNotFound => text(
            "Không tìm thấy đối tượng theo khóa đã gửi: kiểm tra lại khóa, rồi hỏi cơ quan chủ quản.".to_owned(),
            "No subject under this key: check the key, then ask the owner.".to_owned(),
        ),
        Reason::Satisfied
        | Reason::ConditionFalse
        | Reason::RoleAbsent
        | Reason::RoleAmbiguous
        | Reason::RegisterNotConnected
        | Reason::ValueAbsent
        | Reason::RelationAbsent
        | Reason::RecordAbsent
        | Reason::Paper
        | Reason::TooOld
        | Reason::InDispute
        | Reason::RuleUnmet
        | Reason::RuleUndecided
        | Reason::DependsOn => item.todo().clone(),
    }
}

fn paper(item: &Item, vi: &str, en: &str) -> Text {
    match item.fallback() {
        Some(paper) => text(format!("{vi}: nộp {}.", paper.vi), format!("{en}: hand in {}.", paper.en)),
        None => text(format!("{vi}. {}", item.todo().vi), format!("{en}. {}", item.todo().en)),
    }
}

fn text(vi: String, en: String) -> Text {
    Text { vi, en }
}
