//! `hub orders`: what waits for a second person.

use clap::{Args, Subcommand};
use wire::admin::admin_service_client::AdminServiceClient;
use wire::admin::{DecideOrderRequest, ListOrdersRequest, WaitingOrder};

use crate::answers::{as_json, time_of};
use crate::connection::ConnectionArgs;
use crate::context::Context;
use crate::error::{CommandError, Exit};
use crate::output::Table;

const DEFAULT_CALLER: &str = "operator/deputy";

/// Arguments of `hub orders`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  hub orders list\n  hub orders approve 41 --reason 'the difference was read'\n\nWhich orders wait is said by 'admin.second_person' of the configuration; erasures are approved by 'hub audit approve'."
)]
pub struct OrdersArgs {
    /// What to do
    #[command(subcommand)]
    pub command: OrdersCommand,
}

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub enum OrdersCommand {
    /// List the orders that wait
    #[command(after_help = "Example:\n  hub orders list --json")]
    List(ListArgs),
    /// Let an order count that another person gave
    #[command(after_help = "Example:\n  hub orders approve 41 --reason 'the difference was read'")]
    Approve(DecideArgs),
    /// Let an order never count
    #[command(after_help = "Example:\n  hub orders reject 41 --reason 'the wrong register'")]
    Reject(DecideArgs),
}

/// Arguments of `hub orders list`.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// Which hub, and as whom; by default as operator/deputy.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Arguments of `hub orders approve` and `reject`.
#[derive(Debug, Clone, Args)]
pub struct DecideArgs {
    /// Number of the order, as 'hub orders list' shows it
    pub index: u64,
    /// Why, kept in the log for ever; without personal data
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Which hub, and as whom; by default as operator/deputy.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Lists or decides.
///
/// # Errors
/// The hub refused or did not answer.
pub async fn run(args: &OrdersArgs, context: &Context) -> Result<Exit, CommandError> {
    match &args.command {
        OrdersCommand::List(args) => list(args, context).await,
        OrdersCommand::Approve(args) => decide(args, true, context).await,
        OrdersCommand::Reject(args) => decide(args, false, context).await,
    }
}

async fn list(args: &ListArgs, context: &Context) -> Result<Exit, CommandError> {
    let channel = args.connection.connect(context, DEFAULT_CALLER).await?;
    let answer = AdminServiceClient::new(channel).list_orders(ListOrdersRequest {}).await?.into_inner();
    context.output.show(&as_json("hub.admin.v1.ListOrdersResponse", &answer), || {
        if answer.waiting.is_empty() { "no order waits\n".to_owned() } else { table(&answer.waiting) }
    })?;
    Ok(Exit::Ok)
}

fn table(waiting: &[WaitingOrder]) -> String {
    let mut table = Table::new(["number", "order", "about", "given at", "by", "why"]);
    for order in waiting {
        table.row([
            order.index.to_string(),
            order.order.clone(),
            order.about.clone(),
            time_of(order.asked_at.as_ref()),
            order.actor.clone(),
            order.reason.clone(),
        ]);
    }
    table.text()
}

async fn decide(args: &DecideArgs, approve: bool, context: &Context) -> Result<Exit, CommandError> {
    let channel = args.connection.connect(context, DEFAULT_CALLER).await?;
    let request = DecideOrderRequest { index: args.index, approve, reason: args.reason.clone() };
    let answer = AdminServiceClient::new(channel).decide_order(request).await?.into_inner();
    context.output.show(&as_json("hub.admin.v1.DecideOrderResponse", &answer), || {
        let order = answer.order.clone().unwrap_or_default();
        let done = if approve { "counts from now on" } else { "will never count" };
        format!("order {} ({}, {}) {done}; entry control/0/{}\n", order.index, order.order, order.about, answer.index)
    })?;
    Ok(Exit::Ok)
}
