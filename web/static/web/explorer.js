// Swagger UI on our own document, in a page that may load nothing from elsewhere.
"use strict";
{
  const place = document.getElementById("explorer");
  let token = "";
  SwaggerUIBundle({
    url: place.dataset.document,
    domNode: place,
    presets: [SwaggerUIBundle.presets.apis],
    // The document speaks English to every client; what it says of itself is said here in the page's language.
    plugins: [() => ({ statePlugins: { spec: { wrapActions: { updateJsonSpec: (update) => (document) =>
      update({ ...document, info: { ...document.info, description: place.dataset.description } }) } } } })],
    deepLinking: true,
    // Two screens of groups instead of fifteen of operations.
    docExpansion: "none",
    filter: true,
    // It would ask a foreign server whether the document is valid.
    validatorUrl: null,
    // A session's changes send back the token that its last answer gave.
    requestInterceptor: (request) => {
      // Else browsers ask for a password themselves whenever nobody is signed in.
      request.credentials = place.dataset.credentials;
      if (token) request.headers["X-Harbor-CSRF-Token"] = token;
      return request;
    },
    responseInterceptor: (response) => {
      token = response.headers["x-harbor-csrf-token"] || token;
      return response;
    },
  });
}
