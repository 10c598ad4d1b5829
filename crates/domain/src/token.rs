//! Tokens: who may do what.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use uuid::Uuid;

/// What the bearer of a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Polls for tasks and reports results.
    Agent,
    /// Posts tasks, and reads and cancels its own.
    Client,
    /// Reads everything but tokens.
    Viewer,
    /// Reads, cancels, retries and pauses.
    Operator,
    /// Does everything.
    Admin,
}

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Right {
    /// To poll for tasks and to report results.
    Execute,
    /// To post tasks.
    Post,
    /// To post tasks on the dashboard, which shows what others post.
    PostByHand,
    /// To read a task, which may have to be one's own.
    ReadTask,
    /// To cancel a task, which may have to be one's own.
    CancelTask,
    /// To read lists, figures and other people's tasks.
    Read,
    /// To change what others have posted, and to pause and forget.
    Operate,
}

impl Role {
    /// All of them, from the least to the most.
    pub const ALL: [Self; 5] = [Self::Agent, Self::Client, Self::Viewer, Self::Operator, Self::Admin];

    /// The name, as it is stored and written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Client => "client",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// Whether the bearer has a right.
    #[must_use]
    pub fn has(self, right: Right) -> bool {
        match self {
            Self::Agent => right == Right::Execute,
            Self::Client => matches!(right, Right::Post | Right::ReadTask | Right::CancelTask),
            Self::Viewer => matches!(right, Right::Read | Right::ReadTask),
            Self::Operator => {
                matches!(right, Right::Read | Right::ReadTask | Right::CancelTask | Right::Operate)
            }
            Self::Admin => true,
        }
    }

    /// Whether the bearer sees only tasks that were posted by the same name.
    #[must_use]
    pub fn sees_only_own_tasks(self) -> bool {
        self == Self::Client
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|role| role.name() == text)
            .ok_or_else(|| format!("there is no such role; there are {}", names()))
    }
}

/// Which agents the bearer of a token may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentBinding {
    /// Any.
    Any,
    /// The one as which it polls first.
    First,
    /// The one with this id.
    Agent(Uuid),
}

/// The SHA-256 of a token, which is all that is kept of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash(pub [u8; 32]);

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash")
    }
}

/// What is known of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Names it in the list of tokens.
    pub id: Uuid,
    /// Who bears it. Tokens with the same name are of the same bearer: a new one sees the tasks that were posted with
    /// the old one.
    pub name: String,
    /// What the bearer is.
    pub role: Role,
    /// By which it is recognised.
    pub hash: TokenHash,
    /// Which agents the bearer may be.
    pub agent: AgentBinding,
    /// The task types that the bearer may post; `None`: all.
    pub types: Option<Vec<String>>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is no good any more; `None`: never.
    pub expires_at: Option<Timestamp>,
    /// Since when it is no good any more.
    pub revoked_at: Option<Timestamp>,
    /// When it was used last, some seconds behind.
    pub last_used_at: Option<Timestamp>,
}

impl Token {
    /// Whether it is good at this time.
    #[must_use]
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }

    /// Whether the bearer may post tasks of a type.
    #[must_use]
    pub fn may_post(&self, task_type: &str) -> bool {
        self.types.as_ref().is_none_or(|types| types.iter().any(|allowed| allowed == task_type))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_is_known_by_its_name() {
        for role in Role::ALL {
            assert_eq!(role.name().parse(), Ok(role));
        }
        let problem = "there is no such role; there are agent, client, viewer, operator, admin";
        for text in ["", "Agent", "root", " admin"] {
            assert_eq!(text.parse::<Role>(), Err(problem.to_owned()));
        }
    }

    #[test]
    fn a_token_is_good_until_it_expires_or_is_revoked() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let token = Token {
            id: Uuid::nil(),
            name: "shop".to_owned(),
            role: Role::Client,
            hash: TokenHash([0; 32]),
            agent: AgentBinding::Any,
            types: None,
            created_at: at(0),
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
        };
        assert!(token.is_valid(at(1 << 32)));
        let expiring = Token { expires_at: Some(at(10)), ..token.clone() };
        assert!(expiring.is_valid(at(9)) && !expiring.is_valid(at(10)));
        let revoked = Token { revoked_at: Some(at(10)), ..token };
        assert!(!revoked.is_valid(at(9)));
    }
}
