//! An image, upscale or video job: checked, its references bound to rows, ready to be stored.

use super::Result;
use super::finder::Finder;
use super::readiness::refuse_unusable;
use crate::clock::new_id;
use crate::domain::catalogue::Catalogue;
use crate::domain::request::JobRequest;
use crate::domain::validate;
use crate::store::Store;
use crate::store::lookup::FoundModel;
use crate::store::submit::{NewJob, Submission};

/// What becomes of a request whose words have been found; `own` is the trained model it names.
///
/// # Errors
/// A request that the vendor's documents rule out, a model that it would wait for in vain, or a
/// database error.
pub async fn order(
    store: Option<&Store>,
    catalogue: &Catalogue,
    mut request: JobRequest,
    own: Option<&FoundModel>,
    actor: &str,
) -> Result<Submission> {
    validate::job(&request, catalogue)?;
    if let Some(model) = own {
        refuse_unusable(model)?;
    }
    Finder::new(store, catalogue).bind(&mut request).await?;
    let id = new_id();
    let mut submission = Submission::new(("job", id), actor);
    submission.jobs.push(NewJob { id, request, step: None });
    Ok(submission)
}
