//! What a log on Kafka owes besides the common contract.
