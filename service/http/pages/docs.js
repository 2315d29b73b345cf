// Swagger UI on this service's own description, which takes the key of this tab like everything else.
import { enter, withKey } from "./login.js";

const spec = await (await enter("openapi.json")).json();
window.SwaggerUIBundle({
  spec,
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null, // else it asks a validator elsewhere for a badge
  // Builds take their secret there and not the key.
  requestInterceptor: (request) => (/\/(builds|api-endpoint)\b/.test(new URL(request.url, location.href).pathname)
    ? request : { ...request, headers: withKey(request.headers) }),
});
