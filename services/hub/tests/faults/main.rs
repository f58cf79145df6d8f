//! What machines do to a hub: kills, power losses, rotten bits, full disks, clocks that jump, certificates that are none. Each test has a short
//! form, and a long one that `tests/soak` runs (see [`rounds`]); `docs/reliability.md` tells what they found.

#[path = "../serving/client.rs"]
mod client;
#[allow(dead_code, reason = "shared with the other suite, which uses all of it")]
#[path = "../serving/hub.rs"]
mod hub;

mod certificates;
mod clock;
mod disk;
mod flush;
mod full_disk;
mod kept;
mod kill;
mod load;
mod power;
mod rebuild;
mod refused;
mod rot;
mod rounds;
mod trace;
