//! The model of this machine: where it is looked for, and whether it can do anything now.

use super::House;
use crate::sys::agent::{self, Local};
use crate::sys::config::resolved::{Provider, ProviderKind, Through};
use crate::sys::ollama::{self, Address, Found};

/// A provider whose server is away is left alone this long.
pub const REST_S: i64 = 30;

/// Where the server of a provider is: as its configuration says, else as the caller's environment
/// does, where that is allowed to pass, else at its usual port of this machine.
///
/// # Errors
/// Why the address is none, in words.
pub fn address(house: &House, provider: &Provider) -> Result<Address, String> {
    let passed = agent::passed(&provider.env, &house.environment).map_err(|bad| bad.to_string())?;
    let said = provider.set_env.get(ollama::HOST).or_else(|| passed.get(ollama::HOST));
    Address::parse(said.map_or("", String::as_str))
}

/// Whether a server answers where one is looked for without any configuration. Only this machine is
/// looked at: this is asked whenever the configuration is read.
pub fn is_found(house: &House) -> bool {
    let said = house.environment.get(ollama::HOST).map_or("", String::as_str);
    Address::parse(said).is_ok_and(|address| address.is_here() && address.is_open())
}

/// What a provider's server serves, and which of that would be asked.
///
/// # Errors
/// Why nothing can be asked of it now, in words.
pub fn look(house: &House, provider: &Provider) -> Result<(Found, String), String> {
    let found = address(house, provider)?.look()?;
    let model = found.choose(provider.model.as_deref())?;
    Ok((found, model))
}

/// Why a provider can do nothing now, where it is a model of this machine that is away.
pub fn why_not(house: &House, provider: &Provider) -> Option<String> {
    if provider.kind != ProviderKind::Ollama {
        return None;
    }
    look(house, provider).err()
}

/// The model that a provider would ask now, or why none, where it is a model of this machine. Another
/// machine is not asked, only whether it is there: this is to be shown, and may not take long.
pub fn glimpse(house: &House, provider: &Provider) -> Option<Result<Option<String>, String>> {
    if provider.kind != ProviderKind::Ollama {
        return None;
    }
    let address = match address(house, provider) {
        Ok(address) if address.is_here() => return Some(look(house, provider).map(|(_, model)| Some(model))),
        Ok(address) => address,
        Err(why) => return Some(Err(why)),
    };
    let is_open = address.is_open();
    Some(if is_open { Ok(None) } else { Err(format!("nothing answers at {}", address.authority())) })
}

/// What its agent is told of it. Should the server have gone in this moment, its agent finds that out.
///
/// # Errors
/// Why its address is none, in words.
pub fn told(house: &House, provider: &Provider) -> Result<Local, String> {
    let address = address(house, provider)?;
    let chosen = address.look().and_then(|found| found.choose(provider.model.as_deref()));
    let model = chosen.ok().or_else(|| provider.model.clone()).unwrap_or_else(|| "none".to_owned());
    Ok(Local { base_url: address.base_url(), host: address.host().to_owned(), model })
}

/// Why a provider's agent cannot speak to its server, though that answers.
pub fn mismatch(provider: &Provider, found: &Found) -> Option<String> {
    let version = found.version.as_deref().filter(|_| found.is_too_old_for_codex())?;
    (provider.through == Some(Through::Codex))
        .then(|| format!("version {version} is too old for codex, which needs its Responses API"))
}
