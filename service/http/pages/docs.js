// Swagger UI with this service's OpenAPI document. It sends the key of this tab.
import { enter, withKey } from "./login.js";

const spec = await (await enter("openapi.json")).json();
window.SwaggerUIBundle({
  spec,
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null, // else it requests a badge from another server
  // Routes of builds take the secret and no key.
  requestInterceptor: (request) => (/\/(builds|api-endpoint)\b/.test(new URL(request.url, location.href).pathname)
    ? request : { ...request, headers: withKey(request.headers) }),
});
