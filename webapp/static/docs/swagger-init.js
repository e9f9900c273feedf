// Starts Swagger UI; a file of its own because the content security policy allows no inline scripts.
const place = document.getElementById("swagger-ui");
window.ui = SwaggerUIBundle({
  domNode: place,
  url: place.dataset.spec,
  deepLinking: true,
  // The names of all kinds of operations are seen at once; a click opens one.
  docExpansion: "none",
  // Otherwise it sends the document to an outside validator.
  validatorUrl: null,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  requestInterceptor: withToken,
});

// A browser that is signed in sends its cookie, and may change something with its token only.
async function withToken(request) {
  const hasKey = request.headers?.Authorization || request.headers?.["X-API-Key"];
  const isReading = ["GET", "HEAD"].includes((request.method || "GET").toUpperCase());
  if (!isReading && !hasKey && new URL(request.url, location).origin === location.origin) {
    const session = await fetch(place.dataset.session);
    const token = session.ok ? (await session.json()).csrf_token : null;
    if (token) request.headers["X-CSRF-Token"] = token;
  }
  return request;
}
