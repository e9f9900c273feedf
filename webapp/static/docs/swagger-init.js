// Starts Swagger UI; a file of its own because the content security policy allows no inline scripts.
const place = document.getElementById("swagger-ui");
window.ui = SwaggerUIBundle({
  domNode: place,
  url: place.dataset.spec,
  deepLinking: true,
  // Otherwise it sends the document to an outside validator.
  validatorUrl: null,
  displayRequestDuration: true,
  tryItOutEnabled: true,
});
