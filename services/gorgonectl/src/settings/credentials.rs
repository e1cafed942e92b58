//! As whom to speak to an HTTP door: secrets, each given itself or in a file.

use anyhow::bail;
use gorgone_runtime::config::Secret;

use super::key::Key;
use super::{Setting, Settings, read};

/// As whom to speak to an HTTP door.
#[derive(Debug)]
pub(crate) enum Credentials {
    Nobody,
    Basic { user: String, password: Secret },
    Bearer(Secret),
}

impl Settings {
    /// As whom to speak to an HTTP door. Where both kinds are given, the stronger place
    /// decides; in the same place, the bearer token.
    pub(crate) fn credentials(&self) -> anyhow::Result<Credentials> {
        let bearer = self.secret(Key::Bearer, Key::BearerFile)?;
        let password = self.secret(Key::Password, Key::PasswordFile)?;
        let user = self.get(Key::Login);
        Ok(match (bearer, user, password) {
            (Some((_, level)), Some(user), Some((password, _))) if user.origin.level() < level => {
                basic(user, password)
            }
            (Some((token, _)), _, _) => Credentials::Bearer(token),
            (None, Some(user), Some((password, _))) => basic(user, password),
            (None, Some(user), None) => bail!(
                "{} names a user without a password; give --password-file, or set {}",
                user.origin,
                Key::Password.variable()
            ),
            (None, None, Some(_)) => bail!(
                "there is a password and no user; give --login, or set {}",
                Key::Login.variable()
            ),
            (None, None, None) => Credentials::Nobody,
        })
    }

    /// A secret, given itself or as a file, whichever place is stronger.
    fn secret(&self, direct: Key, file: Key) -> anyhow::Result<Option<(Secret, u8)>> {
        let text = |setting: &Setting| (Secret::new(setting.value.clone()), setting.origin.level());
        let held = |setting: &Setting| {
            let text = read(setting)?;
            let text = text.trim_end_matches(['\r', '\n']).to_owned();
            anyhow::Ok((Secret::new(text), setting.origin.level()))
        };
        Ok(match (self.get(direct), self.get(file)) {
            (Some(one), Some(two)) if one.origin.level() == two.origin.level() => bail!(
                "{}: stands beside {}; keep one of them",
                two.origin,
                one.origin
            ),
            (Some(one), Some(two)) if one.origin.level() < two.origin.level() => Some(text(one)),
            (_, Some(two)) => Some(held(two)?),
            (Some(one), None) => Some(text(one)),
            (None, None) => None,
        })
    }
}

fn basic(user: &Setting, password: Secret) -> Credentials {
    Credentials::Basic {
        user: user.value.clone(),
        password,
    }
}
