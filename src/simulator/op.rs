//! The vendor's operations, by the ids of its reference where those are known.

use axum::http::Method;

/// What calling an operation does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Class {
    /// Nothing but an answer.
    Read,
    /// Something changes, free of charge.
    Free,
    /// Training: limited by plan and presumably paid.
    Train,
    /// A paid job.
    Job,
    /// A file outside `/api`.
    Media,
    /// What others do: no call at all, so that no request ever matches it.
    Foreign,
}

/// One row of the table below.
pub(crate) struct Row {
    pub(crate) op: Op,
    /// The operation id, or ours in the same style where the vendor's is unknown.
    pub(crate) name: &'static str,
    method: Method,
    path: &'static str,
    pub(crate) class: Class,
}

macro_rules! operations {
    ($($variant:ident, $name:literal, $method:ident, $path:literal, $class:ident;)+) => {
        /// One operation of the vendor.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub(crate) enum Op { $(#[doc = $path] $variant),+ }

        /// All operations, in the order of the vendor's reference.
        pub(crate) const OPERATIONS: &[Row] = &[$(Row {
            op: Op::$variant, name: $name, method: Method::$method, path: $path,
            class: Class::$class,
        }),+];
    };
}

operations! {
    Ping, "ping", GET, "/api/ping", Read;
    SaveModel, "createOrUpdateModel", POST, "/api/models", Free;
    ListModels, "listModels", GET, "/api/models", Read;
    GetModel, "getModel", GET, "/api/models/{id}", Read;
    DeleteModel, "deleteModel", DELETE, "/api/models/{id}", Free;
    ListModelImages, "listModelImages", GET, "/api/models/{id}/images", Read;
    Train, "triggerModelTraining", GET, "/api/models/{id}/train", Train;
    UploadImage, "uploadImage", POST, "/api/images/upload", Free;
    GetImage, "getImage", GET, "/api/images/{id}", Read;
    DeleteImage, "deleteImage", DELETE, "/api/images/{id}", Free;
    GenerateImage, "triggerImageGenerationJob", POST, "/api/images/generation", Job;
    Upscale, "triggerImageUpscalingJob", POST, "/api/images/upscaling", Job;
    GenerateVideo, "triggerVideoGenerationJob", POST, "/api/videos/generation", Job;
    GetJob, "getJobStatus", GET, "/api/jobs/{id}", Read;
    ListJobs, "listJobs", GET, "/api/jobs", Read;
    ListVideos, "listVideos", GET, "/api/videos", Read;
    GetVideo, "getVideo", GET, "/api/videos/{id}", Read;
    DeleteVideo, "deleteVideo", DELETE, "/api/videos/{id}", Free;
    CreateDownload, "createVideoDownload", GET, "/api/videos/{id}/create-download", Free;
    GetDownload, "getVideoDownload", GET, "/api/videos/{id}/download", Read;
    ListPresets, "listPresets", GET, "/api/presets", Read;
    Media, "media", GET, "/media/{*file}", Media;
    Foreign, "foreign", POST, "what others do", Foreign;
}

/// Selectors that stand for several operations.
pub(crate) const GROUPS: &[&str] = &["any", "effects", "reads", "paid", "jobs"];

impl Op {
    /// The operation that a matched route belongs to.
    pub(crate) fn of(method: &Method, path: &str) -> Option<Self> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        OPERATIONS.iter().find(|row| row.method == method && row.path == path).map(|row| row.op)
    }

    fn row(self) -> Option<&'static Row> {
        OPERATIONS.iter().find(|row| row.op == self)
    }

    /// The operation id.
    pub(crate) fn name(self) -> &'static str {
        self.row().map_or("unknown", |row| row.name)
    }
}

/// The operations behind one selector word: an operation id or a group, in any case.
pub(crate) fn select(word: &str) -> Option<Vec<Op>> {
    let wanted = word.to_ascii_lowercase();
    let member = |class: Class| match wanted.as_str() {
        // Media and what others do are not part of the API, so they have to be named.
        "any" | "*" => Some(!matches!(class, Class::Media | Class::Foreign)),
        "effects" => Some(matches!(class, Class::Free | Class::Train | Class::Job)),
        "reads" => Some(class == Class::Read),
        "paid" => Some(matches!(class, Class::Train | Class::Job)),
        "jobs" => Some(class == Class::Job),
        _ => None,
    };
    if member(Class::Read).is_some() {
        let of_group = OPERATIONS.iter().filter(|row| member(row.class) == Some(true));
        return Some(of_group.map(|row| row.op).collect());
    }
    let row = OPERATIONS.iter().find(|row| row.name.eq_ignore_ascii_case(&wanted))?;
    Some(vec![row.op])
}
