//! Where credentials come from: static keys, the standard chain, a role.

use std::time::SystemTime;

use aws_config::BehaviorVersion;
use aws_config::Region;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::sts::AssumeRoleProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};

use crate::deliver::config::Sigv4;

/// The name under which an assumed role appears in the account's logs.
const SESSION_NAME: &str = "sluicegate";

/// What a `sigv4` section says: static keys, or else the standard chain (environment, profile, web
/// identity, container, instance); with `role_arn`, the role that these may assume. Asks nobody
/// before the first credentials are wanted.
#[must_use]
pub fn provider(sigv4: &Sigv4) -> SharedCredentialsProvider {
    SharedCredentialsProvider::new(Chain { sigv4: sigv4.clone() })
}

/// Built anew for each fetch: the SDK's providers keep what they have read of the shared files, so
/// that keys replaced there would never be seen.
#[derive(Debug)]
struct Chain {
    sigv4: Sigv4,
}

impl ProvideCredentials for Chain {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            build(&self.sigv4).await.provide_credentials().await
        })
    }
}

async fn build(sigv4: &Sigv4) -> SharedCredentialsProvider {
    let region = Region::new(sigv4.region.clone());
    let base = match (&sigv4.access_key, &sigv4.secret_key) {
        (Some(access_key), Some(secret_key)) => {
            let never: Option<SystemTime> = None;
            let keys = (access_key.clone(), secret_key.expose().to_owned());
            SharedCredentialsProvider::new(Credentials::new(keys.0, keys.1, None, never, "static"))
        }
        _ => {
            let mut chain = DefaultCredentialsChain::builder().region(region.clone());
            if let Some(profile) = &sigv4.profile {
                chain = chain.profile_name(profile);
            }
            SharedCredentialsProvider::new(chain.build().await)
        }
    };
    let Some(role_arn) = &sigv4.role_arn else { return base };
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(region)
        .credentials_provider(base.clone());
    if let Some(endpoint) = &sigv4.sts_endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    let mut role = AssumeRoleProvider::builder(role_arn)
        .configure(&loader.load().await)
        .session_name(SESSION_NAME);
    if let Some(external_id) = &sigv4.external_id {
        role = role.external_id(external_id);
    }
    SharedCredentialsProvider::new(role.build_from_provider(base).await)
}
