// @ts-check
/** What typedoc cannot know about this project: the layers of its parts, and the types of destructured parameters. */

import { Application, Comment, CommentTag, Converter, ReflectionKind } from "typedoc";
import ts from "typescript";

/** @param {Application} app */
export function load(app) {
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, (context) => {
    for (const module of context.project.getChildrenByKind(ReflectionKind.Module)) {
      for (const child of module.children ?? []) {
        categorize(child);
        hideErrorName(child);
      }
    }
    for (const reflection of context.project.getReflectionsByKind(ReflectionKind.Parameter)) {
      const parameter = /** @type {import("typedoc").ParameterReflection} */ (reflection);
      if (parameter.name === "__namedParameters") describeDestructured(parameter, context);
    }
    for (const property of context.project.getReflectionsByKind(ReflectionKind.Property)) {
      if (!property.comment) describeOption(property, context);
    }
  });
  app.on(Application.EVENT_VALIDATE_PROJECT, (project) => validatePackages(app, project));
}

const PACKAGES = ["@stf/torch", "stf"];

/**
 * Typedoc checks documentation and exports only for the package at the root, which has no code: the checks are repeated for
 * each package.
 * @param {Application} app
 * @param {import("typedoc").ProjectReflection} project
 */
function validatePackages(app, project) {
  const { packageName = "" } = project;
  if (PACKAGES.includes(packageName)) return;
  for (const name of PACKAGES) {
    project.packageName = name;
    app.validate(project);
  }
  project.packageName = packageName;
}

/**
 * The category of a declaration is its layer in ARCHITECTURE.md, its file or folder below src. The generated
 * operators state theirs.
 * @param {import("typedoc").DeclarationReflection} declaration
 */
function categorize(declaration) {
  const layer = /\/packages\/[\w-]+\/src\/([\w-]+)/.exec(declaration.sources?.[0]?.fullFileName ?? "")?.[1];
  const comment = declaration.comment ?? declaration.signatures?.[0]?.comment;
  if (!layer || !comment || comment.getTag("@category")) return;
  comment.blockTags.push(new CommentTag("@category", [{ kind: "text", text: layer }]));
}

/**
 * The `name` of an error repeats that of its class.
 * @param {import("typedoc").DeclarationReflection} declaration
 */
function hideErrorName(declaration) {
  const isError = declaration.extendedTypes?.some((type) => type.type === "reference" && type.name === "Error");
  const name = isError && declaration.getChildByName(["name"]);
  if (name) declaration.project.removeReflection(name);
}

/**
 * The options of requests are the fields of a table, whose help texts are their documentation.
 * @param {import("typedoc").Reflection} property
 * @param {import("typedoc").Context} context
 */
function describeOption(property, context) {
  const node = context.getSymbolFromReflection(property)?.declarations?.find(ts.isPropertyAssignment);
  if (!node || !ts.isCallExpression(node.initializer)) return;
  const described = node.initializer.arguments
    .filter(ts.isObjectLiteralExpression)
    .flatMap(({ properties }) => properties);
  const help = described.filter(ts.isPropertyAssignment).find(({ name }) => name.getText() === "help")?.initializer;
  const text = help && textOf(help, context.programs);
  if (text !== undefined) property.comment = new Comment([{ kind: "text", text }]);
}

/**
 * The text of a literal, also of one with constants in it; undefined for everything else.
 * @param {import("typescript").Expression} node
 * @param {readonly import("typescript").Program[]} programs
 */
function textOf(node, programs) {
  if (ts.isStringLiteralLike(node)) return node.text;
  if (!ts.isTemplateExpression(node)) return undefined;
  const parts = node.templateSpans.map(({ expression, literal }) => {
    const type = programs[0]?.getTypeChecker().getTypeAtLocation(expression);
    return type?.isLiteral() ? `${type.value}${literal.text}` : undefined;
  });
  return parts.includes(undefined) ? undefined : [node.head.text, ...parts].join("");
}

/**
 * A parameter such as `{ betas = [0.9, 0.999] }: AdamOptions` has no name: unless the comment has one for it,
 * the last word of its type becomes one, "options". Its defaults are shown where the type declares the fields.
 * @param {import("typedoc").ParameterReflection} parameter
 * @param {import("typedoc").Context} context
 */
function describeDestructured(parameter, context) {
  const { type, parent } = parameter;
  const known = parent?.parameters?.map(({ name }) => name);
  const isNamed = parent?.comment
    ?.getTags("@param")
    .some(({ name }) => name && !name.includes(".") && !known?.includes(name));
  if (!isNamed) {
    const typeName = type?.type === "reference" ? type.name : "Options";
    parameter.name = (/[A-Z][a-z]*$/.exec(typeName)?.[0] ?? "options").toLowerCase();
  }

  const node = context.getSymbolFromReflection(parameter)?.valueDeclaration;
  const fields = type?.type === "reference" ? type.reflection : undefined;
  if (!node || !ts.isParameter(node) || !ts.isObjectBindingPattern(node.name)) return;
  for (const { initializer, propertyName, name } of node.name.elements) {
    const field = fields?.getChildByName([(propertyName ?? name).getText()]);
    if (initializer && field?.isDeclaration()) field.defaultValue ??= initializer.getText();
  }
}
