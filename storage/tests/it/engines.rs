//! What makes a test a test of every engine that keeps a folder.

/// Makes a test of each function on each engine: `MODULE::on_sled::NAME` and `MODULE::on_fjall::NAME`.
macro_rules! on_every_engine {
    ($($name:ident),+ $(,)?) => {
        mod on_sled {
            $(#[test] fn $name() { super::$name(throughline_storage::store::Engine::Sled); })+
        }
        mod on_fjall {
            $(#[test] fn $name() { super::$name(throughline_storage::store::Engine::Fjall); })+
        }
    };
}

pub(crate) use on_every_engine;

/// How often to do what is done by chance: `usual` times, or as many times that as `FAULT_ROUNDS` says.
pub(crate) fn rounds(usual: u64) -> u64 {
    let factor = std::env::var("FAULT_ROUNDS").ok().map(|rounds| rounds.parse::<u64>().unwrap());
    usual * factor.unwrap_or(1)
}

/// Where random lives begin; another one with every value of `FAULT_SEED`.
pub(crate) fn first_seed() -> u64 {
    std::env::var("FAULT_SEED").ok().map_or(1, |seed| seed.parse().unwrap())
}
