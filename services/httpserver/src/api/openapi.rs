//! The OpenAPI document: what the annotations of the handlers do not say.

use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{AnyOfBuilder, KnownFormat, SchemaFormat, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, Deprecated, InfoBuilder, LicenseBuilder, ObjectBuilder,
    OpenApi, OpenApiBuilder, Ref, RefOr, Required, Response, ResponseBuilder, SecurityRequirement,
    Tag,
};
use utoipa::{PartialSchema, ToSchema};

use crate::api::{LegacyError, Problem};

const PROBLEM: &str = "application/problem+json";
const JSON: &str = "application/json";

/// What the document begins with.
pub(crate) fn head() -> OpenApi {
    let license = LicenseBuilder::new()
        .name("Apache-2.0")
        .identifier(Some("Apache-2.0"))
        .build();
    let info = InfoBuilder::new()
        .title("Gorgone")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Runs things on the machines of a monitoring platform, and remembers what became of them. \
             A call answers with a token; with `wait` it answers when the token has ended.",
        ))
        .license(Some(license))
        .build();
    let components = ComponentsBuilder::new()
        .security_scheme("basic", scheme(HttpAuthScheme::Basic))
        .security_scheme("bearer", scheme(HttpAuthScheme::Bearer))
        .schema(LegacyError::name(), LegacyError::schema())
        .schema(Problem::name(), Problem::schema())
        .build();
    let tags = [
        ("action", "Commands, and the monitoring engine's pipe"),
        ("log", "What became of requests"),
        ("requests", "Any request, and ending one"),
        ("internal", "What core tells of itself and of the nodes"),
        ("cron", "Scheduled jobs"),
        ("files", "Files on their way to nodes"),
    ];
    OpenApiBuilder::new()
        .info(info)
        .components(Some(components))
        .security(Some([
            SecurityRequirement::new("basic", Vec::<String>::new()),
            SecurityRequirement::new("bearer", Vec::<String>::new()),
        ]))
        .tags(Some(tags.map(|(name, description)| {
            let mut tag = Tag::new(name);
            tag.description = Some(description.to_owned());
            tag
        })))
        .build()
}

fn scheme(scheme: HttpAuthScheme) -> SecurityScheme {
    SecurityScheme::Http(HttpBuilder::new().scheme(scheme).build())
}

/// Says of every operation what all of them have: how they refuse, and on which node.
pub(crate) fn complete(mut document: OpenApi) -> OpenApi {
    for (path, item) in &mut document.paths.paths {
        let place = if path.starts_with("/api/nodes/") {
            Place::Node
        } else if path.starts_with("/api/targets/") {
            Place::Target
        } else {
            Place::Here
        };
        for operation in operations(item) {
            complete_operation(operation, place);
        }
    }
    document
}

/// Where an operation is done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Here,
    /// `/api/nodes/<id>/`.
    Node,
    /// `/api/targets/<id>/`, the older spelling.
    Target,
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut item.get,
        &mut item.post,
        &mut item.patch,
        &mut item.delete,
    ]
    .into_iter()
    .flatten()
}

/// Whether it can be done on many nodes: what is asked is asked of one.
fn starts_something(operation: &Operation) -> bool {
    let mut tags = operation.tags.iter().flatten();
    tags.any(|tag| matches!(tag.as_str(), "action" | "cron" | "files"))
}

fn complete_operation(operation: &mut Operation, place: Place) {
    let suffix = match place {
        Place::Here => "",
        Place::Node => "_on_node",
        Place::Target => "_on_target",
    };
    if let Some(id) = &mut operation.operation_id {
        id.push_str(suffix);
    }
    if place != Place::Here {
        let number = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
            .minimum(Some(0))
            .build();
        let node = ParameterBuilder::new()
            .name("node")
            .parameter_in(ParameterIn::Path)
            .required(Required::True);
        let node = if starts_something(operation) {
            let selection = ObjectBuilder::new()
                .schema_type(Type::String)
                .format(Some(SchemaFormat::Custom("selection".to_owned())))
                .build();
            node.description(Some(
                "The node that is to do it; or a selection of nodes, percent-encoded: `4,7,10-20`, \
                 `site%3Dparis`, `*`. Its token is that of all parts.",
            ))
            .schema(Some(AnyOfBuilder::new().item(number).item(selection)))
        } else {
            node.description(Some("The node that is asked."))
                .schema(Some(number))
        };
        operation
            .parameters
            .get_or_insert_default()
            .insert(0, RefOr::T(node.build()));
    }
    if place == Place::Target {
        operation.deprecated = Some(Deprecated::True);
    }
    let responses = &mut operation.responses.responses;
    let mut add = |status: &str, response: Response| {
        responses
            .entry(status.to_owned())
            .or_insert(RefOr::T(response));
    };
    add("401", refusal("No credentials, or wrong ones", false));
    if operation.request_body.is_some() {
        add(
            "400",
            refusal("The body is not JSON, or a parameter is wrong", true),
        );
    }
    add(
        "403",
        refusal(
            "From this address, or with this credential, this may not be asked",
            true,
        ),
    );
    add(
        "404",
        refusal("Nobody offers this, or there is no such thing", true),
    );
    let description =
        "Anything else: `error` is a word for programs, `detail` a sentence for people";
    add("default", problem(description));
}

/// An error of the older daemons, or problem details.
fn refusal(description: &str, problems_too: bool) -> Response {
    let reference = |name: &str| RefOr::<utoipa::openapi::Schema>::Ref(Ref::from_schema_name(name));
    let mut response = ResponseBuilder::new().description(description).content(
        JSON,
        ContentBuilder::new()
            .schema(Some(reference("LegacyError")))
            .build(),
    );
    if problems_too {
        let content = ContentBuilder::new().schema(Some(reference("Problem")));
        response = response.content(PROBLEM, content.build());
    }
    response.build()
}

fn problem(description: &str) -> Response {
    let reference = RefOr::<utoipa::openapi::Schema>::Ref(Ref::from_schema_name("Problem"));
    let content = ContentBuilder::new().schema(Some(reference)).build();
    ResponseBuilder::new()
        .description(description)
        .content(PROBLEM, content)
        .build()
}
