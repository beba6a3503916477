// Swagger UI over this gateway's own description. Its validator, which is elsewhere, is not asked.

const kept = sessionStorage.getItem("cks-pool-token");

const dark = matchMedia("(prefers-color-scheme: dark)");
const lit = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", lit);
lit();

const ui = SwaggerUIBundle({
  url: "/openapi.json",
  domNode: document.getElementById("swagger"),
  deepLinking: true,
  validatorUrl: null,
  persistAuthorization: false,
  tryItOutEnabled: true,
  requestSnippetsEnabled: true,
  defaultModelsExpandDepth: 0,
  onComplete: () => {
    if (kept) ui.preauthorizeApiKey("token", kept);
  },
});
